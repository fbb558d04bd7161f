//! Names of groups and rules.

/// Longest name, in bytes. A name becomes part of a set's name; the kernel accepts 255 bytes there.
pub(crate) const MAX_NAME: usize = 32;

/// Whether `name` can be part of a set's name in our table: 1 to [`MAX_NAME`] letters, digits, `_`,
/// `-` or `.`.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}
