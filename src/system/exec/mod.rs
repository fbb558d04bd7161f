//! Other programs, run with a deadline.

mod command;
pub mod dry_run;
pub mod firewalld;
pub mod hook_trial;
pub mod iptables;
pub mod nft;
pub mod rule_dump;
pub mod rule_text;
pub mod tc;
