//! Networks, configs and orders of events, made up; and what holds for all of them on the real
//! kernel. In a network namespace of its own, as root, with the hook in its place:
//! tests/live/properties.
//!
//!   virt-forward-properties [CASES]
//!   virt-forward-properties flows [CASES]     what passes, with frames of guests

mod flows;
mod host;
mod kernel;
mod packets;
#[cfg(test)]
mod pure;
mod world;
mod xml;

use std::{cell::Cell, process::ExitCode};

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use virt_forward_test_support::generate;

/// As many as take some ten seconds.
const CASES: u32 = 24;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let is_of_flows = words.next_if(|word| word == "flows").is_some();
    let cases = words.next().and_then(|text| text.parse().ok());
    match is_of_flows {
        true => flows::run(cases),
        false => hosts(cases.unwrap_or(CASES)),
    }
}

fn hosts(cases: u32) -> ExitCode {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    let open = Cell::new(0);
    let outcome = runner.run(&generate::case(), |case| {
        let is_open = kernel::check(&case).map_err(TestCaseError::fail)?;
        open.set(open.get() + u32::from(is_open));
        Ok(())
    });
    match outcome {
        // Where nothing is ever open, nothing was tested.
        Ok(()) if open.get() * 8 < cases => {
            println!("only {} of {cases} cases have anything open", open.get());
            ExitCode::FAILURE
        }
        Ok(()) => {
            println!("{cases} cases, {} with a table at the end", open.get());
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}
