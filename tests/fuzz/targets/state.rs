//! Files of the state folder, with anything in them: the first byte says which file it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use virt_forward_fuzz::{assert_elements, assert_same, assert_shown, json};
use virt_forward_reconcile::Result;
use virt_forward_ruleset::sysctls::{self, SavedSysctl, Key, SysctlReader};
use virt_forward_system::state::{FirewalldRules, Layout, Record};

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    match which % 4 {
        0 => record(data),
        1 => settings(data),
        2 => layout(data),
        _ => drop(read::<FirewalldRules>(data)),
    }
});

/// What is read is written and read again as the same.
fn read<T: Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let again: T = serde_json::from_str(&json(&value)).expect("is read again");
    assert_same(&again, &value);
    Some(value)
}

fn record(data: &[u8]) {
    let Some(record) = read::<Record>(data) else {
        return;
    };
    assert_shown(&record.access.to_string());
    assert_elements(&record);
}

/// Whatever is given back is a setting of forwarding, and lies in /proc/sys.
fn settings(data: &[u8]) {
    for changed in read::<Vec<SavedSysctl>>(data).into_iter().flatten() {
        let path = changed.key.path();
        let parts: Vec<_> = path.components().collect();
        let plain = |part: &std::path::Component| matches!(part, std::path::Component::Normal(_));
        assert!(
            path.starts_with("net") && parts.iter().all(plain),
            "{path:?}"
        );
        assert!(
            ["forwarding", "force_forwarding", "accept_ra"]
                .iter()
                .any(|setting| path.ends_with(setting)),
            "{path:?}"
        );
        assert_shown(&changed.key.name());
        assert!(sysctls::can_restore(&changed, &Same(&changed.set)).is_ok());
    }
}

struct Same<'a>(&'a str);

impl SysctlReader for Same<'_> {
    type Error = virt_forward_reconcile::Error;

    fn value(&self, _: &Key) -> Result<Option<String>> {
        Ok(Some(self.0.to_owned()))
    }

    fn autoconfigured(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn interfaces(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn is_port(&self, _interface: &str) -> bool {
        false
    }
}

fn layout(data: &[u8]) {
    let layout = Layout::from(String::from_utf8_lossy(data).into_owned());
    for overlap in layout.unused().peers {
        assert!(overlap.peer.prefix_len() <= overlap.peer.max_prefix_len());
    }
    if let Some(mark) = layout.mark() {
        assert_eq!(mark.bit().count_ones(), 1);
    }
    for chain in layout.extra() {
        assert_shown(&chain.to_string());
    }
}
