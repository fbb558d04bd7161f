//! Both modules together.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;

use super::{apparmor::AppArmor, selinux::Selinux};
use crate::doctor::{
    SysRoot,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
    finding::Finding,
    hook::InstalledHook,
};

/// The security modules that are enabled.
#[derive(Clone, Debug, Default)]
pub(crate) struct MacState {
    apparmor: Option<AppArmor>,
    selinux: Option<Selinux>,
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum MacFinding {
    /// Neither module is enabled.
    Disabled,
}

impl Diagnosis for MacFinding {
    fn subject(&self) -> Subject {
        Subject::Confinement
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        Severity::Ok
    }

    fn fix(&self) -> Vec<Fix> {
        Vec::new()
    }
}

impl Display for MacFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("neither AppArmor nor SELinux is enabled"),
        }
    }
}

impl MacState {
    /// `daemon` is the process of libvirt's daemon, if it is running.
    pub(crate) fn collect(root: &SysRoot, daemon: Option<u32>) -> Self {
        Self {
            apparmor: AppArmor::collect(root, daemon),
            selinux: Selinux::collect(root),
        }
    }

    /// The command that lets libvirt run hooks, if SELinux denies them at present.
    pub(crate) fn required_boolean(&self) -> Option<&'static str> {
        self.selinux.as_ref()?.required_boolean()
    }

    /// Judges whether libvirt may execute these hooks.
    pub(crate) fn check(&self, hooks: &[InstalledHook]) -> Vec<Finding> {
        if hooks.is_empty() {
            return Vec::new();
        }
        let apparmor = self.apparmor.as_ref();
        let apparmor = apparmor.map(|apparmor| apparmor.check(hooks).into());
        let selinux = self.selinux.as_ref();
        let selinux = selinux.map(|selinux| selinux.check(hooks).into());
        let findings: Vec<Finding> = apparmor.into_iter().chain(selinux).collect();
        if findings.is_empty() {
            return vec![MacFinding::Disabled.into()];
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::installed_hook;

    #[test]
    fn each_enabled_module_is_judged() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        let subjects = |hooks: &[InstalledHook]| {
            let findings = MacState::collect(&root, None).check(hooks);
            let subjects = findings.iter().map(|one| one.diagnosis().subject());
            subjects.collect::<Vec<_>>()
        };
        let hooks = [installed_hook(None, None)];
        assert_eq!(subjects(&hooks), [Subject::Confinement]);
        root.put("/sys/module/apparmor/parameters/enabled", "Y\n");
        root.put("/sys/fs/selinux/enforce", "1");
        assert_eq!(subjects(&hooks), [Subject::AppArmor, Subject::Selinux]);
        assert_eq!(subjects(&[]), []);
    }
}
