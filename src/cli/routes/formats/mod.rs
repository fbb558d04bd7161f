//! A plan as the text that a program takes, one file for each program.
//!
//! Comments at the head of a text say what it is and where it goes, if the format has comments.
//! Names of networks are only in comments, sanitized.

mod bird;
mod dnsmasq;
mod entry;
mod error;
mod format;
mod frr;
mod ifcfg;
mod ifupdown;
mod iproute2;
mod json;
mod netplan;
mod networkd;
mod networkmanager;
mod openwrt;
mod routeros;
mod windows;

#[cfg(test)]
mod tests;

pub(crate) use error::FormatError;
pub(crate) use format::RouteFormat;
