//! Percent-encoding of what goes into a URL.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand bare in a path segment: RFC 3986 "unreserved", as Python's `quote` leaves it.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Encodes one path segment; a `/` inside becomes `%2F`.
///
/// The way to write a revision: `refs/pr/1` is one segment on the Hub's routes.
///
/// ```
/// assert_eq!(hf_core::encode_segment("refs/pr/1"), "refs%2Fpr%2F1");
/// ```
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Encodes a path inside a repository, keeping its slashes.
///
/// ```
/// assert_eq!(hf_core::encode_path("data/a b#1.jsonl"), "data/a%20b%231.jsonl");
/// ```
pub fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            encoded.push('/');
        }
        encoded.extend(utf8_percent_encode(segment, SEGMENT));
    }
    encoded
}

/// Encodes query pairs, without the question mark.
///
/// ```
/// assert_eq!(hf_core::encode_query([("label", "a=b c"), ("limit", "5")]), "label=a%3Db%20c&limit=5");
/// ```
pub fn encode_query<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    let mut encoded = String::new();
    for (key, value) in pairs {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        encoded.extend(utf8_percent_encode(key.as_ref(), SEGMENT));
        encoded.push('=');
        encoded.extend(utf8_percent_encode(value.as_ref(), SEGMENT));
    }
    encoded
}
