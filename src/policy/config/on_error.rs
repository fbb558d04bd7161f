//! The `on_error` key.

use serde::{Deserialize, Serialize};

/// The effect of a failing `start` hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The network starts, closed.
    #[default]
    Ignore,
    /// The network does not start.
    Refuse,
}
