//! Foreign text, made safe for its destination: log lines, terminals, JSON, shells, nft comments.
//!
//! libvirt forbids only `/` and newline in a network's name (src/conf/network_conf.c), the kernel
//! accepts nearly any byte in the names of interfaces and processes, and programs repeat such names on
//! stderr. Two rules keep control characters out of the output:
//!
//! - a **name** is written by [`escape`] in a sentence, or by [`argument`] in a command that is
//!   printed to be pasted;
//! - all **output** passes [`line`] (a log), [`lines`] (a terminal) or a JSON writer that asks
//!   [`is_hidden`]. These do not change what the first rule wrote.

use std::fmt::Write;

/// Longest piece of foreign text that a log line carries, in characters.
const SHOWN: usize = 120;

/// Longest comment that nft keeps is 128 bytes (libnftnl: `NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT: usize = 64;

/// A name for a sentence: control and formatting characters escaped, so that it stays one line
/// and moves no cursor, and cut where it is very long.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN {
            out.push('…');
            break;
        }
        match c {
            '\\' => out.push_str("\\\\"),
            c => push(&mut out, c),
        }
    }
    out
}

/// A whole line of a log, with every control and formatting character escaped.
pub fn line(text: &str) -> String {
    let mut out = String::new();
    text.chars().for_each(|c| push(&mut out, c));
    out
}

/// Lines for a terminal or a file: as [`line`], except that line ends and tabs are kept.
pub fn lines(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c => push(&mut out, c),
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    if is_hidden(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// Whether a character is invisible, and moves the cursor, ends the line, or hides or reorders the
/// text that follows: C0, DEL, C1, and Unicode's formatting characters.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A name as one word of a shell command that is printed to be pasted. A name that begins with
/// `-` would be an option: it comes after `--`.
pub fn argument(name: &str) -> String {
    arguments([name])
}

/// As [`argument`], for several names.
pub fn arguments<'a>(names: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let mut words = Vec::new();
    if names.clone().into_iter().any(|name| name.starts_with('-')) {
        words.push("--".to_owned());
    }
    words.extend(names.into_iter().map(quoted));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&c);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_hidden) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    // Invisible characters are written as bytes: bash, ksh and zsh support this form.
    let mut out = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\\' | '\'' => out.extend(['\\', c]),
            c if is_hidden(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// `text` as an nft comment: characters that nft's list syntax could misread become `?`, so that
/// `nft list ruleset > f; nft -f f` works on a host with any network names.
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
        assert_eq!(escape("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(escape("\u{202e}gpj"), "\\u{202e}gpj");
        assert_eq!(escape("größe \"x\""), "größe \"x\"");
        assert_eq!(escape(&"x".repeat(500)).chars().count(), SHOWN + 1);
    }

    /// Every character that must not get through.
    fn hidden() -> impl Iterator<Item = char> {
        let ranges = [
            0..=0x1f,
            0x7f..=0x9f,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x2069,
            0xfeff..=0xfeff,
            0xe0020..=0xe0020,
        ];
        ranges.into_iter().flatten().filter_map(char::from_u32)
    }

    #[test]
    fn nothing_hidden_leaves_and_nothing_is_escaped_twice() {
        for c in hidden() {
            let name = format!("a{c}b\\");
            for safe in [escape(&name), line(&name), argument(&name)] {
                assert!(!safe.chars().any(is_hidden), "{safe:?}");
            }
            let kept = lines(&name).contains(c);
            assert_eq!(kept, matches!(c, '\n' | '\t'), "{c:?}");
            assert_eq!(line(&escape(&name)), escape(&name));
            assert_eq!(lines(&escape(&name)), escape(&name));
        }
        assert_eq!(line("größe 網 \\ \"x\""), "größe 網 \\ \"x\"");
    }

    #[test]
    fn a_name_in_a_command_is_one_word() {
        assert_eq!(argument("kube02"), "kube02");
        assert_eq!(argument("my lab"), "'my lab'");
        assert_eq!(argument(""), "''");
        assert_eq!(argument("it's; reboot"), r"'it'\''s; reboot'");
        assert_eq!(argument("$(reboot)"), "'$(reboot)'");
        assert_eq!(argument("größe"), "'größe'");
        assert_eq!(argument("-x"), "-- -x");
        assert_eq!(arguments(["a", "-x y"]), "-- a '-x y'");
        assert_eq!(argument("a\u{1b}'\\"), r"$'a\x1b\'\\'");
        assert_eq!(argument("\u{202e}x"), r"$'\xe2\x80\xaex'");
    }

    /// What a shell makes of it.
    // A real shell is asked whether it would take the text as one word.
    #[allow(clippy::disallowed_types)]
    #[test]
    fn a_shell_reads_the_name_back() {
        let names = [
            "my lab",
            "it's",
            "a\nb",
            "$(x) `y` \\ \"z\" *",
            "\u{9b}\u{feff}\t'",
            "ü",
        ];
        for name in names {
            let script = format!("printf %s {}", argument(name));
            let shell = std::process::Command::new("bash")
                .args(["-c", &script])
                .output();
            // Not on every machine that builds this.
            let Ok(output) = shell else { return };
            assert_eq!(String::from_utf8_lossy(&output.stdout), name, "{script}");
        }
    }

    #[test]
    fn a_comment_cannot_end_its_quotes() {
        assert_eq!(comment("a\"; flush ruleset #"), "a?? flush ruleset ?");
        assert_eq!(comment("größe"), "gr??e");
        assert_eq!(comment(&"x".repeat(500)).len(), COMMENT);
    }
}
