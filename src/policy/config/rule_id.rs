//! The identity of an `[[allow]]` rule.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::name::is_name;

/// The name of an `[[allow]]` rule or, where it has none, its number.
///
/// A name is never a number, so the two cannot be confused in a set's name or in the state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RuleId {
    /// The position in the file, counted from 1.
    Number(usize),
    /// The `name` of the rule.
    Name(#[serde(deserialize_with = "rule_name")] String),
}

/// `1`, `api`
impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Whether a name could be a rule's number.
pub(super) fn is_numeric(name: &str) -> bool {
    name.bytes().all(|c| c.is_ascii_digit())
}

/// Checks a name that was read from a file: it becomes part of sets' names.
fn rule_name<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    let name = String::deserialize(source)?;
    if !is_name(&name) || is_numeric(&name) {
        return Err(D::Error::custom("invalid name of a rule"));
    }
    Ok(name)
}
