//! Placeholders, and the rewriting of strings inside JSON.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Gives each value its placeholder and counts.
#[derive(Debug, Default)]
pub(super) struct Placeholders {
    /// Numbers by kind and hash of the value; the values themselves are not kept.
    numbers: HashMap<(&'static str, [u8; 32]), u64>,
    next: BTreeMap<&'static str, u64>,
    pub(super) replaced: BTreeMap<String, u64>,
}

impl Placeholders {
    /// Counts a replacement and returns the value's number.
    pub(super) fn number(&mut self, kind: &'static str, value: &str) -> u64 {
        *self.replaced.entry(kind.to_owned()).or_default() += 1;
        self.peek(kind, value)
    }

    /// Returns the value's number without counting a replacement.
    pub(super) fn peek(&mut self, kind: &'static str, value: &str) -> u64 {
        let hash = *blake3::hash(value.as_bytes()).as_bytes();
        let next = self.next.entry(kind).or_default();
        *self.numbers.entry((kind, hash)).or_insert_with(|| {
            *next += 1;
            *next
        })
    }

    /// Returns `<KIND_N>`.
    pub(super) fn replace(&mut self, kind: &'static str, value: &str) -> String {
        let number = self.number(kind, value);
        format!("<{}_{number}>", kind.to_ascii_uppercase())
    }

    pub(super) fn distinct(&self) -> BTreeMap<String, u64> {
        self.next
            .iter()
            .filter(|(kind, _)| self.replaced.contains_key(**kind))
            .map(|(kind, n)| ((*kind).to_owned(), *n))
            .collect()
    }
}

/// Runs `clean(key, text)` over every string of a JSON text, keys included, and puts back those that changed.
///
/// `key` is the object key a string is the value of.
pub(super) fn rewrite_strings(
    json: &str,
    mut clean: impl for<'a> FnMut(Option<&str>, &'a str) -> Cow<'a, str>,
) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    let mut key: Option<String> = None;
    while let Some(found) = memchr::memchr(b'"', &bytes[at..]) {
        let start = at + found;
        let Some(end) = string_end(bytes, start) else {
            break;
        };
        at = end;
        let Ok(text) = serde_json::from_str::<String>(&json[start..end]) else {
            continue;
        };
        let is_key = bytes[end..].trim_ascii_start().first() == Some(&b':');
        // A value follows its key directly; anything between means that it is not a plain string value.
        let own_key = key.take().filter(|_| !is_key && follows_colon(&bytes[..start]));
        let cleaned = clean(own_key.as_deref(), &text);
        if cleaned != text
            && let Ok(encoded) = serde_json::to_string(&cleaned)
        {
            out.push_str(&json[copied..start]);
            out.push_str(&encoded);
            copied = end;
        }
        if is_key {
            key = Some(text);
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

fn follows_colon(before: &[u8]) -> bool {
    before.trim_ascii_end().last() == Some(&b':')
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
