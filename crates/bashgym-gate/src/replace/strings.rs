//! Cleans the strings of a JSON text one by one.

use std::borrow::Cow;

/// Runs `clean` over every string of a JSON text, keys included, and puts back those that changed.
pub(super) fn rewrite<'j>(
    json: &'j str,
    mut clean: impl for<'a> FnMut(&'a str) -> Cow<'a, str>,
) -> Cow<'j, str> {
    let bytes = json.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'"', &bytes[at..]) {
        let start = at + found;
        let Some(end) = string_end(bytes, start) else {
            break;
        };
        at = end;
        let raw = &json[start + 1..end - 1];
        // Half a surrogate pair is no string to the parser; its text is cleaned as it is written.
        let text = serde_json::from_str::<String>(&json[start..end]).unwrap_or_else(|_| raw.to_owned());
        let cleaned = clean(&text);
        if cleaned != text
            && let Ok(encoded) = serde_json::to_string(&cleaned)
        {
            out.push_str(&json[copied..start]);
            out.push_str(&encoded);
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// Returns the index after the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
    }
}
