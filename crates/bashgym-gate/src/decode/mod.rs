//! What text hides: escapes of JSON and C, percent signs, hex and base64, each with the way back to the source.

mod runs;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

pub(crate) use self::runs::{Run, line_break, runs, skip_escape};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
pub(crate) const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
pub(crate) const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// Decoded bytes, and where each of them stands in the source.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) bytes: Vec<u8>,
    /// The start of each byte's source, and at the end that of whatever follows.
    map: Vec<u32>,
}

impl View {
    /// Where a part of the decoded bytes stands in the source.
    pub(crate) fn source(&self, start: usize, end: usize) -> (usize, usize) {
        let at = |index: usize| {
            self.map
                .get(index)
                .or(self.map.last())
                .map_or(0, |offset| *offset as usize)
        };
        (at(start), at(end))
    }

    fn push(&mut self, byte: u8, at: usize) {
        self.bytes.push(byte);
        self.map.push(offset(at));
    }

    /// Replaces offsets into `self`'s source by those into the source of that.
    fn onto(mut self, below: &Self) -> Self {
        for at in &mut self.map {
            *at = below
                .map
                .get(*at as usize)
                .or(below.map.last())
                .copied()
                .unwrap_or(*at);
        }
        self
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Takes one level of escapes away; `None` if there is none.
pub(crate) fn unescape(text: &[u8]) -> Option<View> {
    let first = memchr::memchr(b'\\', text)?;
    let mut view = View {
        bytes: Vec::with_capacity(text.len()),
        map: Vec::with_capacity(text.len() + 1),
    };
    for (at, byte) in text[..first].iter().enumerate() {
        view.push(*byte, at);
    }
    let mut at = first;
    while at < text.len() {
        if text[at] != b'\\' {
            view.push(text[at], at);
            at += 1;
            continue;
        }
        let (plain, length) = match text.get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'b' | b'f') => (b' ', 2),
            Some(same @ (b'"' | b'\\' | b'/' | b'\'')) => (*same, 2),
            Some(b'u') => match hex_value(text.get(at + 2..at + 6)) {
                Some(unit @ 0..=0x7f) => (unit.to_le_bytes()[0], 6),
                Some(unit) => {
                    let letter = char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}');
                    let mut buffer = [0; 4];
                    for byte in letter.encode_utf8(&mut buffer).bytes() {
                        view.push(byte, at);
                    }
                    at += 6;
                    continue;
                }
                None => (b'\\', 1),
            },
            Some(b'x') => match hex_value(text.get(at + 2..at + 4)) {
                Some(unit) => (unit.to_le_bytes()[0], 4),
                None => (b'\\', 1),
            },
            _ => (b'\\', 1),
        };
        view.push(plain, at);
        at += length;
    }
    view.map.push(offset(text.len()));
    Some(view)
}

/// Takes the next level of escapes away.
pub(crate) fn unescape_again(below: &View) -> Option<View> {
    let view = unescape(&below.bytes)?;
    (view.bytes.len() < below.bytes.len()).then(|| view.onto(below))
}

fn hex_value(digits: Option<&[u8]>) -> Option<u16> {
    digits?.iter().try_fold(0_u16, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u16::try_from(digit).ok()?)
    })
}

/// Decodes percent signs; a text without any gives nothing.
pub(crate) fn percent(text: &[u8]) -> Option<View> {
    let mut view = View::default();
    let mut at = 0;
    let mut found = false;
    while at < text.len() {
        let coded = (text[at] == b'%')
            .then(|| hex_value(text.get(at + 1..at + 3)))
            .flatten();
        if let Some(byte) = coded {
            view.push(byte.to_le_bytes()[0], at);
            at += 3;
            found = true;
        } else {
            view.push(text[at], at);
            at += 1;
        }
    }
    view.map.push(offset(text.len()));
    found.then_some(view)
}

/// Decodes hex digits in pairs, when all of the result is printable.
pub(crate) fn printable_hex(text: &[u8]) -> Option<View> {
    if text.len() < 24 || !text.len().is_multiple_of(2) || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut view = View::default();
    for (index, pair) in text.chunks_exact(2).enumerate() {
        let byte = hex_value(Some(pair))?.to_le_bytes()[0];
        if !(byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
            return None;
        }
        view.push(byte, index * 2);
    }
    view.map.push(offset(text.len()));
    Some(view)
}

/// Decodes base64 of either alphabet, padded or not. What does not fill a byte at the end is left out.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let bare = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let whole = bare - usize::from(bare % 4 == 1);
    let text = &text[..whole];
    let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    if url_safe {
        URL_SAFE.decode(text)
    } else {
        STANDARD.decode(text)
    }
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_level_by_level_and_the_way_back_is_known() {
        let text = br#"a\\\"k\\u0041z"#;
        let one = unescape(text).unwrap();
        assert_eq!(one.bytes, br#"a\"k\u0041z"#);
        let two = unescape_again(&one).unwrap();
        assert_eq!(two.bytes, b"a\"kAz");
        assert_eq!(two.source(3, 4), (6, 13));
        assert!(unescape_again(&two).is_none());
        assert!(unescape(b"plain").is_none());
        assert_eq!(
            unescape(br"half \ud83d pair").unwrap().bytes,
            "half \u{fffd} pair".as_bytes()
        );
        assert_eq!(unescape(br"\u00").unwrap().bytes, br"\u00");
    }

    #[test]
    fn other_codings_are_read() {
        assert_eq!(percent(b"a%5Fb%").unwrap().bytes, b"a_b%");
        assert!(percent(b"100% sure").is_none());
        assert_eq!(
            printable_hex(&hex::encode("hello hello 1").into_bytes())
                .unwrap()
                .bytes,
            b"hello hello 1"
        );
        assert!(printable_hex(b"ffffffffffffffffffffffff").is_none());
        for text in ["aGVsbG8=", "aGVsbG8", "aGVsbG8=="] {
            assert_eq!(base64(text.as_bytes()).unwrap(), b"hello");
        }
    }
}
