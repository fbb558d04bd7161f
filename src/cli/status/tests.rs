//! Tests of the status as a whole.

use virt_forward_policy::{
    MatrixEndpoint,
    netfilter::{ChainName, Family},
    network::XmlError,
};

use super::fixtures::{ALL, REFERENCE_CONFIG, config, networks, reference_networks, status};
use super::{
    fault::NetworkFault,
    model::PairStatus,
    reason::{Block, PairReason},
};
use crate::{output, terminal::Terminal};

fn widest(text: &str) -> usize {
    let widths = text.lines().map(output::cells);
    widths.max().unwrap_or(0)
}

#[test]
fn the_matrix_includes_the_lan_and_the_internet() {
    let text =
        status(&config(REFERENCE_CONFIG), reference_networks()).for_people(&Terminal::plain(80));
    let expected = "
  FROM \\ TO       1 2 3 4 5 6 7
1 isolated        - . . . . . .
2 kube02          . - + + + + +
3 kube03          . + - + + + +
4 kube05          ~ + + - + + +
5 192.168.0.30 +1 ~ + + + - - -
6 192.168.0.0/24  ~ + . . - - -
7 internet        . + . . - - -
+ open   ~ limited   . closed
192.168.0.30 +1: 192.168.0.30, fd00:0:0:1::30
";
    assert!(text.ends_with(expected), "{text}");
    let config = config(ALL);
    let text = status(
        &config,
        networks(&["kube02 nat 10.17.3.1/24", "b nat 10.17.4.1/24"]),
    )
    .for_people(&Terminal::plain(80));
    let expected = "
FROM \\ TO  kube02  b       internet
kube02     -       open    open
b          open    -       open
internet   closed  closed  -
";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn reasons_are_printed_for_the_named_endpoints() {
    let status = status(&config(REFERENCE_CONFIG), reference_networks());
    let lines = |ends: &[&str]| {
        let ends: Vec<_> = ends.iter().map(|end| (*end).to_owned()).collect();
        let said = status.reasons(&ends, &Terminal::plain(200));
        said.map(|said| said.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    let one = lines(&["kube05", "isolated"]).unwrap();
    assert_eq!(one, ["kube05  isolated  limited  allow 1: tcp 5432"]);
    let peer = lines(&["192.168.0.30", "kube03"]).unwrap();
    assert_eq!(
        peer,
        ["192.168.0.30  kube03  open     a peer of group kube"]
    );
    let other = lines(&["192.168.0.31", "kube03"]).unwrap();
    assert!(
        other[0].starts_with("192.168.0.0/24  kube03  closed"),
        "{other:?}"
    );
    let world = lines(&["8.8.8.8", "kube02"]).unwrap();
    assert!(world[0].starts_with("internet  kube02  open"), "{world:?}");
    assert_eq!(lines(&["internet"]).unwrap().len(), 8);
    assert_eq!(lines(&["kube02", "kube02"]).unwrap().len(), 0);
    assert_eq!(lines(&["kube02", "unknown"]), Err("unknown".to_owned()));
    assert!(
        status.endpoint_labels().ends_with("fd00:0:0:1::30"),
        "{}",
        status.endpoint_labels()
    );
}

#[test]
fn json_has_external_pairs_in_their_own_list() {
    let status = status(&config(REFERENCE_CONFIG), reference_networks());
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["reach"].as_array().unwrap().len(), 4 * 3);
    let expected = serde_json::json!({
        "from": "192.168.0.30/32", "to": "isolated", "verdict": "limited",
        "why": "allow 2: tcp 443",
        "reason": {
            "kind": "allow-rules",
            "rules": [{
                "rule": 2, "tcp": [{"first": 443, "last": 443}], "udp": [], "icmp": false,
                "source": null, "destination": null
            }]
        }
    });
    let outside = json["outside"].as_array().unwrap();
    assert!(outside.contains(&expected), "{outside:?}");
}

#[test]
fn text_fits_every_terminal() {
    let status = status(&config(REFERENCE_CONFIG), reference_networks());
    for width in [40, 60, 80, 200] {
        let text = status.for_people(&Terminal::plain(width));
        assert!(widest(&text) <= width, "{width}:\n{text}");
        let why = status.reasons(&[], &Terminal::plain(width)).unwrap();
        assert!(widest(&why) <= width, "{width}:\n{why}");
    }
}

#[test]
fn networks_of_equal_reachability_are_merged() {
    let text = "[[group]]\nname='a'\nnetworks=['a*']\n[[group]]\nname='b'\nnetworks=['b*']\n\
                [[allow]]\nfrom='a*'\nto='b*'\ntcp=[443]";
    for count in [4, 12, 150] {
        let names = (0..2 * count).map(|at| {
            let group = if at % 2 == 0 { 'a' } else { 'b' };
            format!("{group}{at} nat 10.{}.{}.1/24", at / 256, at % 256)
        });
        let names: Vec<_> = names.collect();
        let lines: Vec<_> = names.iter().map(String::as_str).collect();
        let status = status(&config(text), networks(&lines));
        for width in [40, 80] {
            let text = status.for_people(&Terminal::plain(width));
            assert!(widest(&text) <= width, "{width}:\n{text}");
            if count == 150 {
                let matrix = text.split("\n\n").last().unwrap();
                assert!(
                    matrix.contains("a0 +149    open     limited  open\n"),
                    "{matrix}"
                );
            }
        }
    }
}

/// The example that docs/json.md describes.
#[test]
fn json_has_the_documented_form() {
    let text = "[[group]]\nname = 'kube'\nnetworks = ['kube*']\npeers = ['192.168.0.30']\n\
                [[allow]]\nfrom = 'kube05'\nto = 'isolated'\ntcp = [5432, '8080-8090']";
    let lines = [
        "isolated isolated 10.17.9.1/24",
        "kube05 nat 10.17.5.1/24 fd00:10:17:5::1/64",
    ];
    let status = status(&config(text), networks(&lines));
    insta::assert_snapshot!(output::json(&status).unwrap());
}

/// The text and the JSON of everything that keeps a network from its desired state, and of everything
/// that blocks connections.
#[test]
fn every_fault_has_a_text_and_a_machine_readable_form() {
    let chain = || ChainName::nft(Family::Inet, "filter", "forward");
    let bridge = || "virbr1".to_owned();
    let faults = [
        NetworkFault::Xml(XmlError::NoBridge),
        NetworkFault::Held,
        NetworkFault::Unmanaged,
        NetworkFault::BridgeMissing { bridge: bridge() },
        NetworkFault::BridgeDown { bridge: bridge() },
        NetworkFault::Sysctl {
            key: "net.ipv4.conf.virbr1.forwarding".to_owned(),
            value: Some("0".to_owned()),
        },
        NetworkFault::Sysctl {
            key: "net.ipv4.conf.virbr1.forwarding".to_owned(),
            value: None,
        },
        NetworkFault::NotInTable,
        NetworkFault::GateMissing { chain: chain() },
        NetworkFault::GateShadowed { chain: chain() },
        NetworkFault::ChainBlocks { chain: chain() },
    ];
    let mut lines: Vec<_> = faults
        .iter()
        .map(|fault| format!("{}: {fault}", fault.state().word()))
        .collect();
    let chain = chain().to_string();
    for block in [
        Block::Chain {
            chain: chain.clone(),
        },
        Block::UnmarkedInChain { chain },
        Block::Firewalld,
        Block::Forwarding {
            interface: "eth0".to_owned(),
        },
    ] {
        let end = |name: &str| MatrixEndpoint::Network(name.to_owned());
        let pair = PairStatus::new(end("a"), end("b"), PairReason::Blocked(block));
        lines.push(serde_json::to_string(&pair).unwrap());
    }
    insta::assert_snapshot!(lines.join("\n"));
}
