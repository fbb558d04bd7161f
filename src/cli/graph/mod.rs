//! A picture of networks, guests and who reaches whom: [`model`] says what is in it, and there
//! is a file for each format.
//!
//! Lines do not grow with the square of the networks: a group is a box whose members reach each
//! other, and everything else is a [`Link`](model::Link) between such boxes, networks and ends
//! outside. What libvirt lets through by itself is told in words on the network.

mod cards;
mod dot;
mod layout;
mod letters;
mod mermaid;
mod model;
mod svg;

use clap::ValueEnum;

pub(crate) use model::{Graph, Source};

/// What the picture is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A picture for a browser or a wiki
    Svg,
    /// For Graphviz: dot -Tpng
    Dot,
    /// A flowchart, as GitHub and GitLab draw it in a ```mermaid block
    Mermaid,
}

impl Format {
    pub(crate) fn text(self, graph: &Graph) -> String {
        match self {
            Self::Svg => svg::text(graph),
            Self::Dot => dot::text(graph),
            Self::Mermaid => mermaid::text(graph),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        guests::{Guest, Guests},
        status::fixtures,
    };
    use virt_forward_policy::{config::Config, network::Network};
    use virt_forward_system::state::Record;

    fn graph(config: &Config, networks: Vec<Network>, guests: &Guests) -> Graph {
        let status = fixtures::status(config, networks.clone());
        let records: Vec<_> = networks
            .into_iter()
            .map(|network| Record::new(config, network))
            .collect();
        Graph::of(&Source {
            title: "Virtual networks of kvm1".to_owned(),
            config,
            records: &records,
            status: &status,
            inactive: &[],
            guests,
        })
    }

    fn pictures() -> Vec<(&'static str, Graph)> {
        let guest = |name: &str, address: &str| Guest {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
        };
        let guests = Guests::from([
            (
                "kube02".to_owned(),
                vec![guest("node1", "10.17.3.21"), guest("node2", "10.17.3.22")],
            ),
            ("isolated".to_owned(), vec![guest("db", "10.17.9.21")]),
        ]);
        let many: Vec<_> = (0..40)
            .map(|at| format!("net{at:02} nat 10.20.{at}.1/24"))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let three = "[[group]]\nname='web'\nnetworks=['web*']\npeers=['192.168.0.0/24']\n\
            [[group]]\nname='app'\nnetworks=['app*']\nkeep_source=true\npeers=['172.16.0.0/12','fd01::/64']\n\
            [[group]]\nname='data'\nnetworks=['data*', 'app03']\n\
            [[allow]]\nfrom='web'\nto='app'\ntcp=[8080,8443]\n\
            [[allow]]\nfrom='app*'\nto='data01'\ntcp=[5432]\n\
            [[allow]]\nfrom='0.0.0.0/0'\nto='web02'\ntcp=[80,443]\nicmp=true\n\
            [[allow]]\nfrom='data04'\nto='10.31.2.9'\ntcp=['30000-32767']\nudp=[53,123]";
        let twelve: Vec<_> = ["web", "app", "data"]
            .iter()
            .enumerate()
            .flat_map(|(group, name)| {
                (1..=4).map(move |at| format!("{name}{at:02} nat 10.3{group}.{at}.1/24"))
            })
            .collect();
        let twelve: Vec<_> = twelve.iter().map(String::as_str).collect();
        let odd = fixtures::networks(&[
            "a\"b<c>&d nat 10.1.1.1/24",
            "größe-網絡 route 10.1.2.1/24",
            "-- x open 10.1.3.1/24",
        ]);
        vec![
            (
                "founding",
                graph(
                    &fixtures::config(fixtures::REFERENCE_CONFIG),
                    fixtures::reference_networks(),
                    &guests,
                ),
            ),
            (
                "twelve",
                graph(
                    &fixtures::config(three),
                    fixtures::networks(&twelve),
                    &Guests::new(),
                ),
            ),
            (
                "forty",
                graph(
                    &fixtures::config(fixtures::ALL),
                    fixtures::networks(&many),
                    &Guests::new(),
                ),
            ),
            (
                "odd",
                graph(&fixtures::config(fixtures::ALL), odd, &Guests::new()),
            ),
            (
                "one",
                graph(
                    &fixtures::config(fixtures::ALL),
                    fixtures::networks(&["default nat 192.168.122.1/24"]),
                    &Guests::new(),
                ),
            ),
            (
                "none",
                graph(&fixtures::config(fixtures::ALL), Vec::new(), &Guests::new()),
            ),
        ]
    }

    #[test]
    fn no_box_covers_another_and_all_are_in_the_picture() {
        for (name, graph) in pictures() {
            let layout = layout::layout(&graph);
            let cards = layout.cards.iter().chain(&layout.outside);
            let boxes: Vec<_> = cards.chain(&layout.labels).map(|one| one.rect).collect();
            for (at, one) in boxes.iter().enumerate() {
                assert!(one.x > 0.0 && one.right() < layout.width, "{name}: {one:?}");
                assert!(
                    one.y > 0.0 && one.bottom() < layout.height,
                    "{name}: {one:?}"
                );
                for other in boxes.iter().skip(at + 1) {
                    let is_beside = one.right() < other.x || other.right() < one.x;
                    let is_below = one.bottom() < other.y || other.bottom() < one.y;
                    assert!(is_beside || is_below, "{name}: {one:?} {other:?}");
                }
            }
            for boxed in layout
                .cards
                .iter()
                .chain(&layout.outside)
                .chain(&layout.labels)
            {
                for line in &boxed.lines {
                    let width = letters::text_width(&line.text, line.style);
                    assert!(width <= boxed.rect.w, "{name}: {}", line.text);
                }
            }
        }
    }

    #[test]
    fn no_two_lines_meet_where_they_end() {
        for (name, graph) in pictures() {
            let layout = layout::layout(&graph);
            let mut ends: Vec<_> = layout.curves.iter().map(|curve| curve.end).collect();
            // A card stands a little inside the box of its group.
            ends.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (at, one) in ends.iter().enumerate() {
                for other in ends.iter().skip(at + 1) {
                    let is_near = (one.0 - other.0).abs() < 20.0 && (one.1 - other.1).abs() < 4.0;
                    assert!(!is_near, "{name}: {one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn every_format_names_everything() {
        for (name, graph) in pictures() {
            let texts = [Format::Svg, Format::Dot, Format::Mermaid].map(|one| one.text(&graph));
            let names = graph.networks.iter().map(|card| &card.name);
            let names = names.chain(graph.outside.iter().flat_map(|one| &one.names));
            // Each has its own way of writing other signs.
            let is_plain = |name: &&String| name.chars().all(|c| c.is_alphanumeric() || c == '.');
            for part in names.filter(is_plain) {
                assert!(
                    texts.iter().all(|text| text.contains(part)),
                    "{name}: {part}"
                );
            }
            for text in &texts {
                let rules = (1..=4).filter(|number| text.contains(&format!("allow {number}: ")));
                let drawn = graph
                    .links
                    .iter()
                    .filter(|link| link.kind == model::Kind::Rule);
                assert_eq!(rules.count(), drawn.count(), "{name}: {text}");
            }
        }
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let (_, odd) = pictures()
            .into_iter()
            .find(|(name, _)| *name == "odd")
            .unwrap();
        let svg = Format::Svg.text(&odd);
        let mut reader = quick_xml::Reader::from_str(&svg);
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
        assert!(svg.contains(">a&quot;b&lt;c&gt;&amp;d</text>"), "{svg}");
        assert!(svg.contains(">größe-網絡</text>"), "{svg}");
        let dot = Format::Dot.text(&odd);
        assert!(dot.contains("[label=\"a\\\"b<c>&amp;d (open)\\n"), "{dot}");
        let mermaid = Format::Mermaid.text(&odd);
        assert!(
            mermaid.contains("[\"a#34;b#60;c#62;#38;d (open)<br/>"),
            "{mermaid}"
        );
        assert!(mermaid.contains("[\"#45;- x (open)"), "{mermaid}");
    }

    #[test]
    fn lines_do_not_grow_with_the_square_of_the_networks() {
        let pictures = pictures();
        let links = |wanted: &str| {
            let (_, graph) = pictures.iter().find(|(name, _)| *name == wanted).unwrap();
            let text = Format::Dot.text(graph);
            text.matches(" -> ").count()
        };
        assert_eq!(links("forty"), 0);
        assert_eq!(links("founding"), 3);
        // Two peers, one network in two groups, four rules: all of group "app" is one end.
        assert_eq!(links("twelve"), 2 + 1 + 4);
    }
}
