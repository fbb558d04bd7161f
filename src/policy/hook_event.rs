//! The events that libvirtd calls the network hook for.
//!
//! argv is `NAME OP SUBOP EXTRA` (libvirt: src/util/virhook.c, `virRunScript`). NAME is raw and may
//! begin with `-`, so no option parser may read it.

use std::ffi::OsString;

/// An operation of libvirt's network hook (src/util/virhook.c, `virHookNetworkOp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Before any part of the network exists; the only operation that the hook may refuse.
    Start,
    /// The bridge and libvirt's rules exist.
    Started,
    /// The live definition changed; also reported for networks that are not active.
    Updated,
    /// The bridge and libvirt's rules are gone.
    Stopped,
    /// A port was created or deleted, or an operation of a later libvirt; ignored.
    Other,
}

/// One call of the hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The network's name, as libvirt gives it.
    pub network: OsString,
    /// The operation.
    pub operation: Operation,
}

/// Arguments that are not an event.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseEventError {
    /// Fewer arguments than libvirtd passes.
    #[error("usage: virsh net-dumpxml NAME | network NAME started begin -")]
    Usage,
}

impl Operation {
    /// The operation with that name in libvirt.
    pub fn from_word(word: &str) -> Self {
        match word {
            "start" => Operation::Start,
            "started" => Operation::Started,
            "updated" => Operation::Updated,
            "stopped" => Operation::Stopped,
            _ => Operation::Other,
        }
    }
}

impl Event {
    /// Parses the arguments after argv[0]. Only the first two carry information: the sub-operation
    /// follows from the operation, and libvirt always passes `-` as the fourth.
    ///
    /// # Errors
    ///
    /// Where one of the two is missing.
    pub fn from_args(args: impl Iterator<Item = OsString>) -> Result<Self, ParseEventError> {
        let mut args = args;
        let (Some(name), Some(word)) = (args.next(), args.next()) else {
            return Err(ParseEventError::Usage);
        };
        let operation = word.to_str().map_or(Operation::Other, Operation::from_word);
        let network = name;
        Ok(Self { network, operation })
    }

    /// The network's name, for people.
    pub fn shown(&self) -> String {
        crate::sanitize::escape(&self.network.to_string_lossy())
    }

    /// Whether `name`, as XML says it, is the name that libvirt said: there a carriage return
    /// becomes a line feed (XML 1.0, 2.11).
    pub fn is_of(&self, name: &str) -> bool {
        let read = |said: &str| said.replace("\r\n", "\n").replace('\r', "\n");
        let said = self.network.to_str();
        said.is_some_and(|said| said == name || read(said) == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn event(args: &[&str]) -> Result<Event, ParseEventError> {
        Event::from_args(args.iter().map(OsString::from))
    }

    #[test]
    fn reads_libvirts_calls() {
        let started = event(&["kube02", "started", "begin", "-"]).unwrap();
        assert_eq!(started.network, "kube02");
        assert_eq!(started.operation, Operation::Started);
        let port = event(&["kube02", "port-created", "begin", "-"]).unwrap();
        assert_eq!(port.operation, Operation::Other);
        let later = event(&["kube02", "frobbed", "begin", "-"]).unwrap();
        assert_eq!(later.operation, Operation::Other);
    }

    #[test]
    fn a_name_is_never_an_option() {
        let net = event(&["--help", "stopped", "end", "-"]).unwrap();
        assert_eq!(net.network, "--help");
        assert_eq!(net.operation, Operation::Stopped);
    }

    #[test]
    fn too_few_arguments_are_told_and_odd_bytes_are_a_name() {
        assert_eq!(event(&["kube02"]), Err(ParseEventError::Usage));
        let raw = [
            OsString::from_vec(vec![b'a', 0xff]),
            OsString::from("started"),
        ];
        let odd = Event::from_args(raw.into_iter()).unwrap();
        assert_eq!(odd.shown(), "a\u{fffd}");
        assert!(!odd.is_of("a\u{fffd}"));
    }

    #[test]
    fn a_name_in_xml_may_have_lost_a_carriage_return() {
        let net = event(&["a\rb\r\n", "started"]).unwrap();
        assert!(net.is_of("a\nb\n") && net.is_of("a\rb\r\n") && !net.is_of("ab"));
    }
}
