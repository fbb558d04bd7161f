//! Active networks whose definition tells no bridge. While there are any, nothing external is let in,
//! as their guests cannot be told from external hosts.

use std::collections::BTreeSet;

use virt_forward_policy::network::XmlError;
use virt_forward_system::{
    libvirt::status::{self, Active},
    state::{START_GRACE, Unread},
};

use crate::{ConfigConflict, Outcome, Report, Result, session::Session};

impl From<Unread> for ConfigConflict {
    fn from(unread: Unread) -> Self {
        Self::UnknownBridge {
            network: String::from_utf8_lossy(&unread.name).into_owned(),
            why: unread.why,
        }
    }
}

impl Session<'_> {
    /// Records a network whose bridge is not known.
    pub(super) fn close_external(&self, name: &[u8], why: XmlError) -> Result<Report<Outcome>> {
        self.add_unread(name, why.clone())?;
        let effects = match self.is_built_for_other_config() {
            true => self.rebuild(&[])?,
            false => self.finish_interrupted()?,
        };
        Ok(effects.report(Outcome::UnknownBridge(why)))
    }

    /// Records all active networks whose bridge is not known.
    pub(super) fn merge_unread(&self, active: &Active) -> Result<()> {
        for (name, why) in &active.unread {
            self.add_unread(name, why.clone())?;
        }
        Ok(())
    }

    /// Whether some network of these names is not recorded.
    pub(super) fn lacks_unread(&self, names: &BTreeSet<Vec<u8>>) -> Result<bool> {
        let known = self.store.unread()?;
        Ok(names
            .iter()
            .any(|name| known.iter().all(|one| one.name != *name)))
    }

    pub(super) fn add_unread(&self, name: &[u8], why: XmlError) -> Result<()> {
        let mut unread = self.store.unread()?;
        if !unread.iter().any(|one| one.name == name) {
            unread.push(Unread::new(name, why));
            self.store.set_unread(&unread)?;
        }
        self.set_external_closed(true);
        Ok(())
    }

    /// Removes the network of that name; returns whether it was recorded.
    pub(super) fn forget_unread(&self, name: &[u8]) -> Result<bool> {
        let unread = self.store.unread()?;
        let left: Vec<_> = unread
            .iter()
            .filter(|one| one.name != name)
            .cloned()
            .collect();
        let is_one = left.len() < unread.len();
        if is_one {
            self.store.begin()?;
            self.store.set_unread(&left)?;
        }
        self.set_external_closed(!left.is_empty());
        Ok(is_one)
    }

    /// Removes networks that libvirt does not have active, or that can be read now; returns whether
    /// there were any.
    pub(super) fn drop_unread(&self, unread: Vec<Unread>) -> Result<bool> {
        let is_unread = |one: &Unread| match status::of(&one.name) {
            Some(Some(network)) => network.is_err(),
            Some(None) => one.age() < START_GRACE,
            None => true,
        };
        let count = unread.len();
        let left: Vec<_> = unread.into_iter().filter(is_unread).collect();
        self.set_external_closed(!left.is_empty());
        if left.len() < count {
            self.store.set_unread(&left)?;
        }
        Ok(left.len() < count)
    }
}
