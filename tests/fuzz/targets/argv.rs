//! What libvirtd, or anybody, calls the hook with; arguments end with a NUL.
#![no_main]

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use libfuzzer_sys::fuzz_target;
use virt_forward_fuzz::assert_shown;
use virt_forward_policy::{
    hook_event::{Event, Operation, ParseEventError},
    sanitize::comment,
};

fuzz_target!(|data: &[u8]| {
    let args: Vec<_> = data.split(|byte| *byte == 0).collect();
    let given = args.iter().map(|arg| OsString::from_vec(arg.to_vec()));
    match Event::from_args(given) {
        Ok(event) => {
            assert_eq!(event.network.as_bytes(), args[0]);
            let is_ours = [&b"start"[..], b"started", b"updated", b"stopped"].contains(&args[1]);
            assert_eq!(event.operation != Operation::Other, is_ours);
            assert_shown(&event.shown());
            let name = event.network.to_string_lossy();
            assert!(comment(&name).is_ascii());
            assert_eq!(event.is_of(&name), event.network.to_str().is_some());
        }
        Err(why) => {
            assert!(why == ParseEventError::Usage && args.len() < 2);
            assert_shown(&why.to_string());
        }
    }
});
