//! The bit of the packet mark that our table sets.

use std::fmt;

use serde::Serialize;

/// One bit of the packet mark, which means "allowed by our table".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MarkBit(u32);

impl MarkBit {
    /// Bit 28: of the bits that other programs are known to use, the least used one.
    pub const DEFAULT: Self = Self(0x1000_0000);

    /// The mark, if it is exactly one bit of 32.
    pub fn new(mark: i64) -> Option<Self> {
        let bit = u32::try_from(mark).ok()?;
        bit.is_power_of_two().then_some(Self(bit))
    }

    /// The mark with this bit alone.
    pub fn bit(self) -> u32 {
        self.0
    }

    /// The mask of all other bits.
    pub fn others(self) -> u32 {
        !self.0
    }
}

impl fmt::Display for MarkBit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}
