//! Names that somebody else chose, made safe for a log line or an nft comment.
//!
//! libvirt forbids only `/` and newline in a network's name (src/conf/network_conf.c), so
//! quotes, escapes and terminal codes reach us.

/// Longest piece of foreign text that a log line carries, in characters.
const SHOWN: usize = 120;

/// Longest comment that nft keeps is 128 bytes (libnftnl: `NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT: usize = 64;

/// `text` for a log line or a terminal: control and formatting characters escaped, so
/// that it stays one line and moves no cursor, and cut where it is very long.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN {
            out.push('…');
            break;
        }
        match c {
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Characters that are not control characters but hide or turn round what follows.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `text` as an nft comment: what nft's own list syntax could misread is a `?`, so that
/// `nft list ruleset > f; nft -f f` still works on a host with odd network names.
pub fn comment(text: &str) -> String {
    text.chars()
        .take(COMMENT)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | ' ' | ':' | '+' => c,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_name_stays_on_one_line_and_moves_no_cursor() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(shown("\u{202e}gpj"), "\\u{202e}gpj");
        assert_eq!(shown("größe \"x\""), "größe \"x\"");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_comment_cannot_end_its_quotes() {
        assert_eq!(comment("a\"; flush ruleset #"), "a?? flush ruleset ?");
        assert_eq!(comment("größe"), "gr??e");
        assert_eq!(comment(&"x".repeat(500)).len(), COMMENT);
    }
}
