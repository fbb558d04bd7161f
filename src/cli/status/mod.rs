//! What is open, what is in the way, who reaches whom: [`model`] has it as values, for programs
//! too; [`text`] says it to people, with [`matrix`] and [`reasons`].

#[cfg(test)]
pub(crate) mod example;
mod gates;
mod grid;
mod matrix;
mod model;
mod reach;
mod reasons;
mod text;

pub(crate) use grid::short;
pub(crate) use model::{NetworkState, NetworkStatus, Seen, Status};

#[cfg(test)]
mod tests {
    use super::example::{ALL, FOUNDING, config, founding, networks, status};
    use crate::{output, paint::Screen};

    fn widest(text: &str) -> usize {
        let widths = text.lines().map(output::cells);
        widths.max().unwrap_or(0)
    }

    #[test]
    fn the_founding_case_is_told_with_its_lan() {
        let text = status(&config(FOUNDING), founding()).for_people(&Screen::plain(80));
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
        .for_people(&Screen::plain(80));
        let expected = "
FROM \\ TO  kube02  b       internet
kube02     -       open    open
b          open    -       open
internet   closed  closed  -
";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_reason_is_told_of_those_who_were_asked_for() {
        let status = status(&config(FOUNDING), founding());
        let lines = |ends: &[&str]| {
            let ends: Vec<_> = ends.iter().map(|end| (*end).to_owned()).collect();
            let said = status.reasons(&ends, &Screen::plain(200));
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
        assert_eq!(lines(&["kube02", "nobody"]), Err("nobody".to_owned()));
        assert!(
            status.ends().ends_with("fd00:0:0:1::30"),
            "{}",
            status.ends()
        );
    }

    #[test]
    fn programs_find_what_is_outside_apart() {
        let status = status(&config(FOUNDING), founding());
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["reach"].as_array().unwrap().len(), 4 * 3);
        let expected = serde_json::json!({
            "from": "192.168.0.30/32", "to": "isolated", "verdict": "limited",
            "why": "allow 2: tcp 443"
        });
        let outside = json["outside"].as_array().unwrap();
        assert!(outside.contains(&expected), "{outside:?}");
    }

    #[test]
    fn no_terminal_is_too_narrow() {
        let status = status(&config(FOUNDING), founding());
        for width in [40, 60, 80, 200] {
            let text = status.for_people(&Screen::plain(width));
            assert!(widest(&text) <= width, "{width}:\n{text}");
            let why = status.reasons(&[], &Screen::plain(width)).unwrap();
            assert!(widest(&why) <= width, "{width}:\n{why}");
        }
    }

    #[test]
    fn many_networks_are_told_by_what_they_are_alike_in() {
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
                let text = status.for_people(&Screen::plain(width));
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
}
