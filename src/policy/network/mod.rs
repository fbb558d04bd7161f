//! libvirt networks: their XML, and what they own.

mod bounds;
mod bridge;
mod format;
mod mode;
mod model;
mod xml;
mod xml_error;

pub use bounds::{Excess, MOST_SUBNETS};
pub use bridge::{BridgeName, KernelName};
pub use format::{Element, MAX_XML, NAMESPACE};
pub use mode::Mode;
pub use model::Network;
pub use xml::read;
pub use xml_error::{PolicyFault, XmlError};
