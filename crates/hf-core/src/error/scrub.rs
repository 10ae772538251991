//! Keeps secrets out of messages.

use url::Url;

use crate::auth::REDACTED;

/// Query parameters whose values are no secret; any other value is hidden in messages.
const PLAIN_QUERY: &[&str] = &[
    "author",
    "create_pr",
    "cursor",
    "direction",
    "expand",
    "filter",
    "full",
    "label",
    "limit",
    "p",
    "recursive",
    "search",
    "skip",
    "sort",
    "stage",
    "tail",
    "type",
];

/// A URL fit for messages and logs.
pub fn redact_url(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only on URLs without a host, which carry neither.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    shown.set_query(None);
    let mut text = shown.to_string();
    let mut separator = '?';
    for (key, value) in url.query_pairs() {
        let value = if PLAIN_QUERY.contains(&key.as_ref()) {
            value
        } else {
            "***".into()
        };
        text.push(separator);
        text.push_str(&key);
        text.push('=');
        text.push_str(&value);
        separator = '&';
    }
    scrub_secrets(&text)
}

/// Replaces whatever looks like a Hugging Face token with `hf_***`.
///
/// ```
/// let text = hf_core::scrub_secrets("bad token hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345, try again");
/// assert_eq!(text, "bad token hf_***, try again");
/// ```
pub fn scrub_secrets(text: &str) -> String {
    const LEAST: usize = 20;
    let part_of_token = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("hf_") {
        let tail = &rest[start..];
        let length = tail.find(|c: char| !part_of_token(c)).unwrap_or(tail.len());
        clean.push_str(&rest[..start]);
        clean.push_str(if length >= LEAST {
            REDACTED
        } else {
            &tail[..length]
        });
        rest = &tail[length..];
    }
    clean.push_str(rest);
    clean
}
