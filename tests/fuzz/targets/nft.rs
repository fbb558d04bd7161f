//! What nft lists of others' rules: JSON for `doctor`, text for `check` and `status`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virt_forward_fuzz::assert_shown;
use virt_forward_policy::config::MarkBit;
use virt_forward_ruleset::table::is_equivalent;
use virt_forward_system::exec::nft::rules_in;

fuzz_target!(|text: &str| {
    for line in virt_forward_cli::said_of_mark(MarkBit::DEFAULT, text, &[])
        .into_iter()
        .flatten()
    {
        assert_shown(&line);
    }
    for (_, rule) in rules_in(text) {
        assert!(!rule.contains('\n'));
    }
    assert!(is_equivalent(text, text));
    let (half, _) = text.split_at(text.floor_char_boundary(text.len() / 2));
    assert_eq!(is_equivalent(half, text), is_equivalent(text, half));
});
