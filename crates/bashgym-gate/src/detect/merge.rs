//! What findings of one text have to do with each other, and with placeholders that are there already.

use base64::Engine as _;

use super::{Finding, Form};
use crate::decode;

/// Whether a place is inside of a placeholder of ours.
pub(super) fn in_placeholder(text: &[u8], at: usize) -> bool {
    let least = at.saturating_sub(64);
    text[least..at]
        .iter()
        .rposition(|byte| *byte == b'<')
        .and_then(|open| {
            let start = least + open;
            let length = crate::replace::is_placeholder_start(&text[start..])?;
            Some(start + length > at)
        })
        .unwrap_or(false)
}

/// Whether a finding is, or reaches into, a placeholder of ours.
pub(super) fn touches_placeholder(text: &[u8], found: &Finding) -> bool {
    in_placeholder(text, found.start)
        || memchr::memchr_iter(b'<', &found.value)
            .any(|open| crate::replace::is_placeholder_start(&found.value[open..]).is_some())
}

/// Sorts findings and joins those that overlap; the strongest gives its kind.
pub(super) fn merge(text: &[u8], mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by(|a, b| (a.start, a.rank, b.end).cmp(&(b.start, b.rank, a.end)));
    let mut merged: Vec<Finding> = Vec::with_capacity(found.len());
    for next in found {
        if let Some(last) = merged.last_mut()
            && next.start < last.end
        {
            if next.start == last.start && next.end == last.end {
                if next.rank < last.rank {
                    *last = next;
                }
                continue;
            }
            let start = last.start;
            let end = last.end.max(next.end);
            let covers = |one: &Finding| one.start == start && one.end == end && one.form == Form::Plain;
            let stronger = if next.rank < last.rank { &next } else { &*last };
            if covers(stronger) {
                *last = stronger.clone();
                continue;
            }
            let value = match stronger.form {
                Form::Plain => stronger.value.clone(),
                Form::Base64 { .. } => text[start..end].to_vec(),
            };
            *last = Finding::plain(start, end, stronger.kind, stronger.rank, &value);
            continue;
        }
        merged.push(next);
    }
    merged
}

/// Encodes a replacement in base64 so that the groups around it stay as they are.
pub(crate) fn encode_form(form: &Form, placeholder: &str) -> String {
    let Form::Base64 {
        before,
        after,
        length: removed,
        url_safe,
    } = form
    else {
        return placeholder.to_owned();
    };
    let mut bytes = before.clone();
    bytes.extend_from_slice(placeholder.as_bytes());
    let length = before.len() + *removed + after.len();
    while (bytes.len() + after.len()) % 3 != length % 3 {
        bytes.push(b'*');
    }
    bytes.extend_from_slice(after);
    let mut text = String::new();
    if *url_safe {
        decode::URL_SAFE.encode_string(&bytes, &mut text);
    } else {
        decode::STANDARD.encode_string(&bytes, &mut text);
    }
    // The padding, if there is any, stands behind the run and stays there.
    text.trim_end_matches('=').to_owned()
}
