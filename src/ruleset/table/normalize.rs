//! Comparison of two listings of a table by nft.

/// Whether two listings describe the same table. nft lists the elements of a set in the order of
/// their hashes or in that of their addition, so the order of elements does not count.
pub fn is_equivalent(one: &str, other: &str) -> bool {
    canonical(one) == canonical(other)
}

/// The lines of a listing, with the elements of each set sorted. The table's elements, comments
/// included, contain no comma and no brace ([`virt_forward_policy::sanitize::comment`]).
fn canonical(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("elements = {") {
        let (inside, after) = after.split_once('}').unwrap_or((after, ""));
        lines.extend(before.lines().map(str::to_owned));
        let mut elements: Vec<_> = inside.split(',').map(|one| one.trim().to_owned()).collect();
        elements.sort_unstable();
        lines.append(&mut elements);
        rest = after;
    }
    lines.extend(rest.lines().map(str::to_owned));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "table inet t {\n\tset s {\n\t\telements = { \"a\" comment \"x\",\n\t\t\t     \"b\" }\n\t}\n\tset e {\n\t}\n}\n";

    #[test]
    fn two_listings_are_the_same_up_to_the_order_of_elements() {
        let turned = "table inet t {\n\tset s {\n\t\telements = { \"b\", \"a\" comment \"x\" }\n\t}\n\tset e {\n\t}\n}\n";
        assert!(is_equivalent(ONE, turned));
        for other in [
            ONE.replace("\"b\"", "\"c\""),
            ONE.replace(",\n\t\t\t     \"b\"", ""),
            ONE.replace("set e", "set f"),
            ONE.replace("comment \"x\"", "comment \"y\""),
            String::new(),
        ] {
            assert!(!is_equivalent(ONE, &other), "{other}");
        }
    }
}
