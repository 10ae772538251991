//! What no single pattern catches: keys over many lines, home folders, random strings.

use super::{Finding, Names, RANK_PERSONAL, RANK_SPECIAL};
use crate::decode::line_break;
use crate::rules::entropy;

/// The most of a private key.
const LONGEST_KEY: usize = 24 * 1024;

/// How home folders are written.
pub(super) const HOME_WORDS: &[&str] = &["/home/", "/users/", "home\\/", "users\\/", "users\\"];

/// A private key, from its first line on; cut keys go as far as they look like one.
pub(super) fn private_key(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let Some(body) = header_end(text, at + "-----begin".len()) else {
        return;
    };
    let most = text.len().min(at + LONGEST_KEY);
    let end = memchr::memmem::find(&text[body..most], b"-----END")
        .and_then(|tail| header_end(text, body + tail + "-----end".len()))
        .unwrap_or_else(|| {
            body + text[body..most]
                .iter()
                .take_while(|byte| is_key_body(**byte))
                .count()
        });
    if end > body + 4 {
        out.push(Finding::plain(
            at,
            end,
            "private_key",
            RANK_SPECIAL,
            &text[at..end],
        ));
    }
}

/// The end of a key whose beginning was cut away.
pub(super) fn key_end(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let Some(end) = header_end(text, at + "-----end".len()) else {
        return;
    };
    let least = at.saturating_sub(LONGEST_KEY);
    let body = text[least..at]
        .iter()
        .rev()
        .take_while(|byte| is_key_body(**byte) && !matches!(byte, b' ' | b'\t'))
        .count();
    if memchr::memmem::find(&text[at - body..at], b"-----BEGIN").is_some() {
        return;
    }
    // The line break before the first line that is left is not part of it.
    let mut start = at - body;
    while let Some(next) = line_break(text, start) {
        start = next;
    }
    while text[start].is_ascii_whitespace() {
        start += 1;
    }
    if body >= 20 {
        out.push(Finding::plain(
            start,
            end,
            "private_key",
            RANK_SPECIAL,
            &text[start..end],
        ));
    }
}

/// The place after `… PRIVATE KEY-----`.
fn header_end(text: &[u8], at: usize) -> Option<usize> {
    let line = text.get(at..text.len().min(at + 80))?;
    let dashes = memchr::memmem::find(line, b"-----")?;
    memchr::memmem::find(&line[..dashes], b"PRIVATE KEY")?;
    Some(at + dashes + 5)
}

fn is_key_body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte.is_ascii_whitespace()
        || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b',' | b':' | b'-')
}

/// The name in the path of a home folder.
pub(super) fn home(text: &[u8], at: usize, length: usize, names: &mut Names, out: &mut Vec<Finding>) {
    let word = &text[at..at + length];
    let windows = word.ends_with(b"s\\") && !word.starts_with(b"/");
    let start = if word.starts_with(b"/") || windows {
        at
    } else {
        at.saturating_sub(1)
    };
    if windows {
        let drive = text[..at].iter().rposition(|byte| *byte != b'\\');
        if !drive.is_some_and(|drive| drive + 1 < at && text[drive] == b':') {
            return;
        }
    } else {
        let before = &text[start.saturating_sub(2)..start];
        let absolute = match before {
            [b'/' | b'\\', _] | [] | [_] => true,
            [_, last] => !(last.is_ascii_alphanumeric() || matches!(last, b'.' | b'_' | b'-' | b'~')),
            _ => true,
        };
        let flag = matches!(before, [b'-', letter] if letter.is_ascii_alphabetic());
        if !absolute && !flag {
            return;
        }
    }
    let mut from = at + length;
    // Behind a slash, a backslash begins the line break of a path that names nobody.
    while windows && text.get(from) == Some(&b'\\') {
        from += 1;
    }
    let rest = &text[from..];
    if !rest.first().is_some_and(u8::is_ascii_alphanumeric) {
        return;
    }
    let length = rest
        .iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        .count();
    let name = &rest[..length];
    let kept = name.len() - name.iter().rev().take_while(|byte| **byte == b'.').count();
    let Ok(name) = std::str::from_utf8(&name[..kept]) else {
        return;
    };
    if crate::replace::is_user_placeholder(name) {
        return;
    }
    names.learn(name);
    out.push(Finding::plain(
        from,
        from + kept,
        "user_name",
        RANK_PERSONAL,
        name.as_bytes(),
    ));
}

/// Whether a value is assigned behind a name: an operator, then something long enough to be a secret.
///
/// Rules of gitleaks know more operators than ours, and look for longer values with a digit.
pub(super) fn assignment_ahead(text: &[u8], behind: usize, own: bool) -> bool {
    let rest = &text[behind..text.len().min(behind + 96)];
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let blank = |byte: u8| matches!(byte, b' ' | b'\t');
    let mut word_ended = false;
    let name = rest
        .iter()
        .take(24)
        .take_while(|byte| {
            word_ended |= blank(**byte);
            // Where a second word follows, our rules see no name.
            blank(**byte) || (in_word(**byte) && !(own && word_ended))
        })
        .count();
    let quote = |byte: u8| {
        matches!(
            byte,
            b'"' | b'\'' | b'\\' | b'`' | b']' | b')' | b'}' | b' ' | b'\n'
        )
    };
    let mut at = name;
    while rest.get(at).copied().is_some_and(quote) && at < name + 12 {
        at += 1;
    }
    let operator =
        |byte: u8| matches!(byte, b'=' | b':') || (!own && matches!(byte, b'>' | b'|' | b'?' | b','));
    if !rest.get(at).copied().is_some_and(operator) {
        return false;
    }
    while rest
        .get(at)
        .copied()
        .is_some_and(|byte| operator(byte) || byte == b'>' || quote(byte))
        && at < name + 40
    {
        at += 1;
    }
    let value = &rest[at.min(rest.len())..];
    let length = value
        .iter()
        .take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b',' | b'`'))
        .count();
    let value = &value[..length];
    if own {
        length >= 6
    } else {
        length >= 8 && value.iter().any(u8::is_ascii_digit)
    }
}

/// Whether an escape stands for a plain letter, digit, hyphen or underscore.
pub(super) fn escapes_a_letter(text: &[u8]) -> bool {
    let digits = match text {
        [b'\\', b'u', b'0', b'0', a, b, ..] | [b'\\', b'x', a, b, ..] => [*a, *b],
        _ => return false,
    };
    let value = digits.iter().try_fold(0_u32, |value, digit| {
        Some(value * 16 + char::from(*digit).to_digit(16)?)
    });
    value
        .and_then(char::from_u32)
        .is_some_and(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
}

/// Begins of strings that are ids or checksums, and no secrets.
const IDS: &[&str] = &[
    "toolu_",
    "agent_",
    "srvtoolu_",
    "msg_",
    "req_",
    "call_",
    "chatcmpl-",
    "resp_",
    "rs_",
    "fc_",
    "file-",
    "sha1-",
    "sha256-",
    "sha384-",
    "sha512-",
    "h1",
    "run_",
    "thread_",
    "item_",
    "ctc_",
    "ws_",
    "gen-",
    "price_",
    "prod_",
    "cus_",
    "evt_",
];

/// Whether a run of letters is random, and no id, checksum, path or name.
pub(super) fn is_random(run: &[u8]) -> bool {
    if !(32..=120).contains(&run.len()) {
        return false;
    }
    // Most runs are ids of small letters and digits.
    if run.iter().filter(|byte| byte.is_ascii_uppercase()).count() < 4 {
        return false;
    }
    let mut counts = [0_usize; 4];
    let mut changes = 0;
    let mut last = CLASSES[usize::from(run[0])];
    for byte in run {
        let class = CLASSES[usize::from(*byte)];
        counts[usize::from(class)] += 1;
        changes += usize::from(class != last);
        last = class;
    }
    let mixed = counts[0] >= 4
        && counts[1] >= 4
        && counts[2] >= 3
        && counts[3] * 8 <= run.len()
        && changes * 100 >= run.len() * 38;
    // A path, in part or whole.
    let is_path = || run[0] == b'/' || memchr::memchr_iter(b'/', run).count() > 3;
    mixed && !is_path() && !IDS.iter().any(|id| run.starts_with(id.as_bytes())) && entropy(run) >= 4.2
}

/// Small letters, capitals, digits, and anything else.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [3; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let letter = byte as u8;
        if letter.is_ascii_lowercase() {
            table[byte] = 0;
        } else if letter.is_ascii_uppercase() {
            table[byte] = 1;
        } else if letter.is_ascii_digit() {
            table[byte] = 2;
        }
        byte += 1;
    }
    table
}
