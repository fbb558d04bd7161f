//! Drops privileges of the hook and the daemon at their start, for themselves and for all programs
//! that they run. This limits what an attacker gains who takes over a parser or nft through
//! malicious input.
//!
//! `no_new_privs` is not set: AppArmor's profile of libvirtd lets nft and iptables leave the
//! profile when they are executed (`/usr/sbin/* PUx`). `no_new_privs` would forbid that, and
//! nothing could be opened. There is no seccomp filter, because it costs time at every system call,
//! and the calls that it would forbid (modules, mounts, other processes) need capabilities that are
//! dropped.
//!
//! If a kernel or a container does not support a restriction, the program runs without it, so that
//! networks still open.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
};
use rustix::{
    fs::Mode,
    thread::{CapabilitySet, CapabilitySets},
};

/// NET_ADMIN for rules and sysctls; NET_RAW for the raw socket of iptables-legacy.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);

/// The newest Landlock ABI whose rights are handled. An older kernel enforces the subset that it
/// knows.
const KNOWN: ABI = ABI::V5;

/// The writable paths: /run for the state directory, which is deleted and created again, and for
/// iptables-legacy's lock; sysctls; and /dev/null.
const WRITTEN: [&str; 3] = ["/run", "/proc/sys/net", "/dev/null"];

/// Drops privileges of this thread and of threads that it starts later: writing outside of the
/// listed paths, TCP, and all capabilities but two. Programs that it runs do not inherit
/// descriptors that the caller left open.
pub fn drop_privileges() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    keep_open_files_to_ourselves();
    // Landlock without no_new_privs needs CAP_SYS_ADMIN, so it comes first.
    let _ = confine();
    drop_capabilities();
}

/// Marks the descriptors that the caller left open as close-on-exec. libvirtd leaves none open; a
/// shell may.
#[allow(unsafe_code)]
fn keep_open_files_to_ourselves() {
    let (first, last) = (3_u32, u32::MAX);
    // SAFETY: the call only sets a flag of descriptors; it closes none and accesses no memory.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}

fn confine() -> Result<(), RulesetError> {
    let all = AccessFs::from_all(KNOWN) & !AccessFs::IoctlDev;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(KNOWN))?
        .create()?;
    let readable = rules(&["/"], AccessFs::from_read(KNOWN));
    let writable = rules(&WRITTEN, all & !AccessFs::Execute);
    ruleset
        .set_no_new_privs(false)
        .add_rules(readable.chain(writable))?
        .restrict_self()
        .map(drop)
}

/// A missing path is left out: it cannot be written to.
fn rules(
    paths: &[&str],
    access: BitFlags<AccessFs>,
) -> impl Iterator<Item = Result<PathBeneath<PathFd>, RulesetError>> {
    let files = paths.iter().filter_map(|path| PathFd::new(path).ok());
    files.map(move |file| Ok(PathBeneath::new(file, access)))
}

fn drop_capabilities() {
    // Otherwise programs executed by root would regain them.
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let kept = rustix::thread::capabilities(None).map(|held| held.permitted & KEPT);
    if let Ok(kept) = kept {
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        let _ = rustix::thread::set_capabilities(None, sets);
    }
}
