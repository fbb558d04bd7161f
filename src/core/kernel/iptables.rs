//! The programs iptables(8) and ip6tables(8), for gates in tables that are theirs.
//!
//! Rules are taken away by their text, as the program lists it, never by their number: the
//! number could be another rule's by then.

use super::{deadline::Deadline, program::Program};
use crate::{COMMENT, Result, config::MarkBit, table::Family};

/// Seconds to wait for iptables-legacy's lock.
const WAIT: &str = "5";

fn program(family: Family) -> Program {
    let name = match family {
        Family::Ip6 => "ip6tables",
        Family::Ip | Family::Inet => "iptables",
    };
    Program {
        name,
        package: "iptables",
    }
}

/// Puts a gate in front of the rule at `index`, from 0, of `chain` in the table `filter`.
pub fn insert_gate(
    family: Family,
    chain: &str,
    index: usize,
    mark: MarkBit,
    deadline: Deadline,
) -> Result<()> {
    let number = (index + 1).to_string();
    let mark = format!("{mark}/{mark}");
    // -I FORWARD 1 -m mark --mark 0x10000000/0x10000000 -m comment --comment virt-forward -j ACCEPT
    let args = [
        "-w",
        WAIT,
        "-I",
        chain,
        &number,
        "-m",
        "mark",
        "--mark",
        &mark,
        "-m",
        "comment",
        "--comment",
        COMMENT,
        "-j",
        "ACCEPT",
    ];
    program(family).demand(&args, "", deadline).map(drop)
}

/// Takes the gates in `chain` of the table `filter` away.
pub fn delete_gates(family: Family, chain: &str, deadline: Deadline) -> Result<()> {
    let program = program(family);
    let listed = program.demand(&["-w", WAIT, "-S", chain], "", deadline)?;
    for gate in listed.lines().filter_map(gate_in) {
        let mut args = vec!["-w", WAIT, "-D"];
        args.extend(gate);
        program.demand(&args, "", deadline)?;
    }
    Ok(())
}

/// Chain and text of the rule in a line of `iptables -S`, if it is a gate. A gate's text has
/// no word with blanks in it, so no quotes need to be understood.
fn gate_in(line: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = line.strip_prefix("-A ")?.split_whitespace().collect();
    let comment = words.iter().position(|word| *word == "--comment")?;
    let text = words.get(comment + 1)?.trim_matches('"');
    let plain = !words.iter().any(|word| word.contains(['\'', '\\']));
    (text == COMMENT && plain).then(|| {
        let unquoted = words.iter().map(|word| word.trim_matches('"'));
        unquoted.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_rules_are_gates() {
        let gate = "-A FORWARD -m mark --mark 0x10000000/0x10000000 -m comment --comment virt-forward -j ACCEPT";
        let words = gate_in(gate).unwrap();
        assert_eq!(words.join(" "), &gate[3..]);
        assert!(gate_in(&gate.replace("virt-forward", "\"virt-forward\"")).is_some());
        for other in [
            "-P FORWARD ACCEPT",
            "-A FORWARD -j LIBVIRT_FWX",
            "-A FORWARD -m comment --comment \"not virt-forward\" -j ACCEPT",
            "-A FORWARD -m comment --comment virt-forwarder -j ACCEPT",
            "-A FORWARD -m comment --comment",
        ] {
            assert!(gate_in(other).is_none(), "{other}");
        }
    }
}
