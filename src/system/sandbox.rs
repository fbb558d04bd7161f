//! What a program that runs as root gives away once it has begun: it and all that it starts, to
//! their end. A hurdle for whoever gets hold of nft or of a parser by what they are fed.
//!
//! Not `no_new_privs`: under AppArmor's profile of libvirtd nft and iptables leave that profile
//! when they start (`/usr/sbin/* PUx`), which it would forbid, and nothing would be opened. Not a
//! filter for system calls, which costs each of them: what one would forbid here (modules, mounts,
//! other processes) needs capabilities that are gone.
//!
//! A kernel or a container that grants none of this is no reason to keep a network closed: what
//! cannot be given away is kept.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
};
use rustix::{
    fs::Mode,
    thread::{CapabilitySet, CapabilitySets},
};

/// Rules and settings of the network; and iptables-legacy's way to the kernel, a raw socket.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);

/// The latest whose rights are known here; of an older kernel's, those that it has.
const KNOWN: ABI = ABI::V5;

/// Where anything is written: our state and iptables-legacy's lock, kernel settings, nothing.
/// All of /run, as our folder in it goes and comes again.
const WRITTEN: [&str; 3] = ["/run", "/proc/sys/net", "/dev/null"];

/// Gives away, for this thread and those that it starts later: writing anywhere but where it has
/// to be, TCP, and every capability but two; for what it runs: files that somebody left open.
pub fn shed() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    keep_open_files_to_ourselves();
    // It takes CAP_SYS_ADMIN.
    let _ = confine();
    drop_capabilities();
}

/// What the caller had open, a caller by hand: libvirtd closes all of its own.
#[allow(unsafe_code)]
fn keep_open_files_to_ourselves() {
    let (first, last) = (3_u32, u32::MAX);
    // SAFETY: it changes a flag of file descriptors, and neither their number nor any memory.
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

/// What is not there is not written to.
fn rules(
    paths: &[&str],
    access: BitFlags<AccessFs>,
) -> impl Iterator<Item = Result<PathBeneath<PathFd>, RulesetError>> {
    let files = paths.iter().filter_map(|path| PathFd::new(path).ok());
    files.map(move |file| Ok(PathBeneath::new(file, access)))
}

fn drop_capabilities() {
    // Else programs that root runs would get them again.
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
