//! Looks behind what hides text: hex, base64, percent signs, and escapes of plain letters.

use super::merge::merge;
use super::special;
use super::{Detector, Finding, Form, Names, RANK_ENTROPY};
use crate::decode::{self, Run, View};

/// A run of base64 this long is decoded even if it holds no text: pictures carry text too.
const PICTURE: usize = 256;

impl Detector {
    /// Looks into a run of letters: hex, base64, or just random.
    pub(super) fn run(
        &self,
        text: &[u8],
        run: &Run,
        names: &mut Names,
        depth: usize,
        textual: bool,
        out: &mut Vec<Finding>,
    ) {
        let letters = run.letters(text);
        if letters.iter().all(u8::is_ascii_hexdigit) {
            if let Some(view) = decode::printable_hex(&letters) {
                self.inside(&view, names, depth, out, |from, to| {
                    (run.source(from), run.source(to - 1) + 1)
                });
            }
            return;
        }
        let picture = letters.len() >= PICTURE;
        let last = if picture && run.start > 0 { 0 } else { 3 };
        for shift in 0..=last {
            let (whole, _) = letters[shift..].as_chunks::<4>();
            let plain = looks_like_coded_text(whole);
            if !plain && !picture {
                continue;
            }
            let Some(bytes) = decode::base64(&letters[shift..]) else {
                continue;
            };
            let is_text = plain && std::str::from_utf8(&bytes).is_ok();
            let mut inner = Vec::new();
            self.scan(&bytes, names, depth + 1, is_text, &mut inner, None);
            let url_safe = letters.iter().any(|byte| matches!(byte, b'-' | b'_'));
            for found in merge(&bytes, inner) {
                let first = found.start / 3;
                let end = found.end.div_ceil(3).min(bytes.len().div_ceil(3));
                let from = run.source(shift + first * 4);
                let to = run.source((shift + end * 4 - 1).min(letters.len() - 1)) + 1;
                out.push(Finding {
                    start: from,
                    end: to,
                    form: Form::Base64 {
                        before: bytes[first * 3..found.start].to_vec(),
                        after: bytes[found.end..(end * 3).min(bytes.len())].to_vec(),
                        length: found.end - found.start,
                        url_safe,
                    },
                    ..found
                });
            }
            if plain {
                return;
            }
        }
        if textual && run.pieces.is_empty() && special::is_random(&letters) {
            out.push(Finding::plain(
                run.start,
                run.end,
                "high_entropy",
                RANK_ENTROPY,
                &letters,
            ));
        }
    }

    /// Scans decoded bytes and puts what is found where it stands in the source.
    fn inside(
        &self,
        view: &View,
        names: &mut Names,
        depth: usize,
        out: &mut Vec<Finding>,
        place: impl Fn(usize, usize) -> (usize, usize),
    ) {
        let mut inner = Vec::new();
        self.scan(&view.bytes, names, depth + 1, true, &mut inner, None);
        for found in inner {
            let (from, to) = view.source(found.start, found.end);
            let (start, end) = place(from, to);
            out.push(Finding {
                start,
                end,
                form: Form::Plain,
                ..found
            });
        }
    }

    /// Looks behind percent signs, one stretch without blanks at a time.
    pub(super) fn percent(&self, text: &[u8], names: &mut Names, depth: usize, out: &mut Vec<Finding>) {
        let mut done = 0;
        for at in memchr::memchr_iter(b'%', text) {
            let coded = text
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            if at < done || !coded {
                continue;
            }
            let start = stretch_start(text, at, done);
            let end = stretch_end(text, at);
            done = end;
            let mut level = decode::percent(&text[start..end]);
            // Twice coded is common: an address inside an address.
            if let Some(view) = level.take() {
                self.inside(&view, names, depth, out, |from, to| (start + from, start + to));
            }
        }
    }

    /// Looks behind escapes of plain letters, which no ordinary encoder writes; says whether there are any.
    pub(super) fn odd_escapes(
        &self,
        text: &[u8],
        names: &mut Names,
        depth: usize,
        out: &mut Vec<Finding>,
    ) -> bool {
        let mut done = 0;
        // A byte of its own in ASCII is written in one of these two ways.
        let mut places: Vec<usize> = self.odd[0].find_iter(text).collect();
        places.extend(self.odd[1].find_iter(text));
        places.sort_unstable();
        for at in places {
            if at < done || !special::escapes_a_letter(&text[at..]) {
                continue;
            }
            let start = at.saturating_sub(128).max(done);
            let end = text.len().min(at + 1024);
            done = end;
            if let Some(view) = decode::unescape(&text[start..end]) {
                self.inside(&view, names, depth, out, |from, to| (start + from, start + to));
            }
        }
        done > 0
    }
}

fn stretch_start(text: &[u8], at: usize, least: usize) -> usize {
    let least = least.max(at.saturating_sub(512));
    text[least..at]
        .iter()
        .rposition(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\'))
        .map_or(least, |before| least + before + 1)
}

fn stretch_end(text: &[u8], at: usize) -> usize {
    let most = text.len().min(at + 4096);
    text[at..most]
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\'))
        .map_or(most, |length| at + length)
}

/// Whether groups of base64 decode to text: its bytes have no high bit.
fn looks_like_coded_text(groups: &[[u8; 4]]) -> bool {
    let seen = groups.len().min(64);
    if seen < 6 {
        return false;
    }
    let plain = groups[..seen]
        .iter()
        .filter(|[a, b, c, _]| {
            let [a, b, c] = [a, b, c].map(|letter| HIGH_BITS[usize::from(*letter)]);
            a & 1 | b & 2 | c & 4 == 0
        })
        .count();
    plain * 4 >= seen * 3
}

/// What a letter of base64 would be the high bit of, as the first, second or third of its group.
static HIGH_BITS: [u8; 256] = high_bits();

const fn high_bits() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let index = index(byte as u8);
        table[byte] = index >> 5 & 1 | index >> 2 & 2 | index << 1 & 4;
        byte += 1;
    }
    table
}

const fn index(letter: u8) -> u8 {
    match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    }
}
