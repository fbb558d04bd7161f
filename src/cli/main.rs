//! The program `virt-forward`; all of it is in the library beside this.

use std::process::ExitCode;

fn main() -> ExitCode {
    virt_forward_cli::run()
}
