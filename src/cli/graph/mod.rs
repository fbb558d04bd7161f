//! Diagrams of the virtual networks, their guests and the allowed traffic.
//!
//! [`build`] turns the config and the observed status into a [`model`], which has types and no
//! sentences; [`text`] words it; [`dot`], [`mermaid`] and [`svg`] write it down, the last one with
//! the boxes and lines of [`layout`].
//!
//! The number of edges does not grow with the square of the networks: a group is a box whose
//! members reach each other, and an edge ends at the box where it means all members.

mod build;
mod dot;
mod format;
mod layout;
mod mermaid;
mod model;
mod svg;
mod text;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub(crate) use build::GraphInput;
pub(crate) use format::GraphFormat as Format;
pub(crate) use model::Graph;
