//! Mandatory access control. A hook that libvirt's daemon may not execute stops every start of a
//! network (exit 126).

mod apparmor;
mod finding;
mod selinux;

pub(crate) use apparmor::AppArmorFinding;
pub(crate) use finding::{MacFinding, MacState};
#[cfg(test)]
pub(crate) use selinux::Mode;
pub(crate) use selinux::SelinuxFinding;
