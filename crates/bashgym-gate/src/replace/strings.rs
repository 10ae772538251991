//! Cleans the strings of a JSON text one by one.

use std::borrow::Cow;

use crate::detect::{Finding, Form};

/// A key this long may be a secret itself.
const LONG_KEY: usize = 24;

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

/// Cuts a finding that goes over the ends of strings into its parts inside of strings.
///
/// A short key between two values is no part of a secret, and stays.
pub(super) fn clip(json: &[u8], found: Vec<Finding>) -> Vec<Finding> {
    let mut clipped = Vec::with_capacity(found.len());
    let mut strings = Strings { json, at: 0 }.peekable();
    for finding in found {
        while strings.next_if(|(_, end)| *end <= finding.start).is_some() {}
        let mut parts = Vec::new();
        // The last string may hold the next finding too, so it is not taken.
        while let Some((start, end)) = strings.next_if(|(start, _)| *start < finding.end) {
            let is_key = json[end + 1..]
                .iter()
                .find(|byte| !byte.is_ascii_whitespace())
                .is_some_and(|byte| *byte == b':');
            let part = (start.max(finding.start), end.min(finding.end));
            let inside = start <= finding.start && finding.end <= end;
            if inside || (part.0 < part.1 && !(is_key && part.1 - part.0 < LONG_KEY)) {
                parts.push(part);
            }
            if end >= finding.end {
                strings = Strings { json, at: start - 1 }.peekable();
                break;
            }
        }
        clipped.extend(parts.into_iter().map(|(start, end)| {
            let whole = (start, end) == (finding.start, finding.end);
            Finding {
                start,
                end,
                form: if whole { finding.form.clone() } else { Form::Plain },
                ..finding.clone()
            }
        }));
    }
    clipped
}

/// The contents of the strings of a JSON text, from a place outside of strings on.
struct Strings<'j> {
    json: &'j [u8],
    at: usize,
}

impl Iterator for Strings<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.at + memchr::memchr(b'"', self.json.get(self.at..)?)?;
        let end = string_end(self.json, start)?;
        self.at = end;
        Some((start + 1, end - 1))
    }
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
