//! The access of a network: what the config opens it for.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::config::{RuleId, is_name};

/// What the config opens a network for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The groups that the network is a member of, in the order of the config.
    #[serde(deserialize_with = "group_names")]
    pub groups: Vec<String>,
    /// The `[[allow]]` rules that let its guests open connections.
    #[serde(default, rename = "allow_from")]
    pub from: Vec<RuleId>,
    /// The `[[allow]]` rules that let its guests accept connections.
    #[serde(default, rename = "allow_to")]
    pub to: Vec<RuleId>,
    /// The subnets that its guests may send from; none where it is closed.
    #[serde(default)]
    pub own: Vec<IpNet>,
}

impl Access {
    /// Whether the network is closed.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.from.is_empty() && self.to.is_empty()
    }
}

/// Checks names that were read from a file: they become parts of sets' names.
fn group_names<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(source)?;
    if !names.iter().all(|name| is_name(name)) {
        return Err(D::Error::custom("invalid name of a group"));
    }
    Ok(names)
}

/// `open to group kube, lab, and in part: allow 1 (out), allow 2, api (in)`
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = Vec::new();
        for (direction, ids) in [("out", &self.from), ("in", &self.to)] {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            if !ids.is_empty() {
                rules.push(format!("allow {} ({direction})", ids.join(", ")));
            }
        }
        let (groups, rules) = (self.groups.join(", "), rules.join(", "));
        match (groups.is_empty(), rules.is_empty()) {
            (true, true) => write!(f, "closed"),
            (true, false) => write!(f, "open in part: {rules}"),
            (false, true) => write!(f, "open to group {groups}"),
            (false, false) => write!(f, "open to group {groups}, and in part: {rules}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_rules_are_shown_with_their_direction() {
        let number = RuleId::Number;
        let name = |name: &str| RuleId::Name(name.to_owned());
        let access = |groups: &[&str], from: &[RuleId], to: &[RuleId]| {
            let groups = groups.iter().map(|name| (*name).to_owned()).collect();
            Access {
                groups,
                from: from.to_vec(),
                to: to.to_vec(),
                own: Vec::new(),
            }
        };
        for (access, text) in [
            (access(&[], &[], &[]), "closed"),
            (access(&["a", "b"], &[], &[]), "open to group a, b"),
            (
                access(&[], &[number(1)], &[]),
                "open in part: allow 1 (out)",
            ),
            (
                access(&["a"], &[number(2)], &[number(1), name("api")]),
                "open to group a, and in part: allow 2 (out), allow 1, api (in)",
            ),
        ] {
            assert_eq!(access.to_string(), text);
        }
    }

    #[test]
    fn records_hold_names_and_numbers() {
        let read = |text: &str| serde_json::from_str::<Access>(text);
        let old = read(r#"{"groups":["a"],"allow_from":[1,3],"allow_to":[2]}"#).unwrap();
        assert_eq!(old.from, [RuleId::Number(1), RuleId::Number(3)]);
        let new = r#"{"groups":[],"allow_from":[1,"api"],"allow_to":["web-2"],"own":[]}"#;
        let access = read(new).unwrap();
        assert_eq!(serde_json::to_string(&access).unwrap(), new);
        for invalid in ["7", "a b", "", "x\""] {
            let invalid = serde_json::to_string(invalid).unwrap();
            let text = format!(r#"{{"groups":[],"allow_from":[{invalid}]}}"#);
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
