//! Reads a log line by line with a bound on memory, and repairs what can be repaired.

use std::io::{self, BufRead};

use memchr::{memchr, memmem};

use crate::report::ProblemKind;

/// One step of a [`LineReader`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A line is in the buffer; `terminated` is false for a last line without a newline.
    Line { number: u64, terminated: bool },
    /// A line was longer than the limit and was skipped.
    TooLong {
        number: u64,
        bytes: u64,
        terminated: bool,
    },
    /// The end of the file.
    End,
}

/// Reads lines into one buffer that it reuses.
pub(crate) struct LineReader<R> {
    inner: R,
    pub(crate) line: Vec<u8>,
    number: u64,
    pub(crate) bytes: u64,
    limit: usize,
}

impl<R: BufRead> LineReader<R> {
    pub(crate) fn new(inner: R, limit: usize) -> Self {
        Self {
            inner,
            line: Vec::new(),
            number: 0,
            bytes: 0,
            limit,
        }
    }

    /// Goes on after `number` lines that were read before.
    pub(crate) fn after(inner: R, limit: usize, number: u64) -> Self {
        Self {
            number,
            ..Self::new(inner, limit)
        }
    }

    pub(crate) fn lines(&self) -> u64 {
        self.number
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        self.line.clear();
        let mut total = 0_u64;
        loop {
            let chunk = match self.inner.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if chunk.is_empty() {
                if total == 0 {
                    return Ok(Step::End);
                }
                return Ok(self.finish(total, false));
            }
            let (used, ended) = match memchr(b'\n', chunk) {
                Some(at) => (at + 1, true),
                None => (chunk.len(), false),
            };
            let room = self.limit.saturating_add(1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&chunk[..used.min(room)]);
            self.inner.consume(used);
            total += used as u64;
            self.bytes += used as u64;
            if ended {
                return Ok(self.finish(total, true));
            }
        }
    }

    fn finish(&mut self, total: u64, terminated: bool) -> Step {
        self.number += 1;
        let content = total - u64::from(terminated);
        if content > self.limit as u64 {
            // One long line must not keep its memory for the rest of the file.
            self.line = Vec::new();
            return Step::TooLong {
                number: self.number,
                bytes: content,
                terminated,
            };
        }
        if terminated {
            self.line.pop();
        }
        Step::Line {
            number: self.number,
            terminated,
        }
    }
}

/// The repairs that were needed to make a line readable.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repairs {
    pub(crate) nul_bytes: bool,
    pub(crate) invalid_utf8: bool,
    pub(crate) lone_surrogate: bool,
}

impl Repairs {
    pub(crate) fn kinds(self) -> impl Iterator<Item = ProblemKind> {
        [
            self.nul_bytes.then_some(ProblemKind::NulBytes),
            self.invalid_utf8.then_some(ProblemKind::InvalidUtf8),
            self.lone_surrogate.then_some(ProblemKind::LoneSurrogate),
        ]
        .into_iter()
        .flatten()
    }
}

/// Makes a line valid UTF-8 whose escapes are whole surrogate pairs, and strips NUL bytes and blanks around it.
pub(crate) fn repair(line: &mut Vec<u8>) -> Repairs {
    let mut repairs = Repairs::default();
    if memchr(0, line).is_some() {
        line.retain(|&b| b != 0);
        repairs.nul_bytes = true;
    }
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    let blanks = line.iter().take_while(|b| b.is_ascii_whitespace()).count();
    if blanks > 0 {
        line.drain(..blanks);
    }
    if line.starts_with(b"\xEF\xBB\xBF") {
        line.drain(..3);
    }
    if std::str::from_utf8(line).is_err() {
        *line = String::from_utf8_lossy(line).into_owned().into_bytes();
        repairs.invalid_utf8 = true;
    }
    if may_hold_surrogates(line) {
        repairs.lone_surrogate = replace_lone_surrogates(line);
    }
    repairs
}

fn may_hold_surrogates(line: &[u8]) -> bool {
    memmem::find(line, b"\\ud").is_some() || memmem::find(line, b"\\uD").is_some()
}

/// Replaces each escape of half a surrogate pair by `\ufffd`, in place, and tells whether there was one.
pub(crate) fn replace_lone_surrogates(text: &mut [u8]) -> bool {
    let mut changed = false;
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &text[at..]) {
        let start = at + found;
        let Some(unit) = escape_unit(&text[start..]) else {
            at = (start + 2).min(text.len());
            continue;
        };
        at = start + 6;
        let lone = match unit {
            0xD800..=0xDBFF => match escape_unit(&text[at..]) {
                Some(0xDC00..=0xDFFF) => {
                    at += 6;
                    false
                }
                _ => true,
            },
            0xDC00..=0xDFFF => true,
            _ => false,
        };
        if lone {
            text[start + 2..start + 6].copy_from_slice(b"fffd");
            changed = true;
        }
    }
    changed
}

/// Reads `\uXXXX` at the start of `text`.
fn escape_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0_u16, |unit, &b| {
        let digit = char::from(b).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(input: &[u8], limit: usize) -> Vec<(Step, Vec<u8>)> {
        let mut reader = LineReader::new(io::BufReader::with_capacity(3, input), limit);
        let mut out = Vec::new();
        loop {
            let step = reader.step().unwrap();
            if step == Step::End {
                return out;
            }
            out.push((step, reader.line.clone()));
        }
    }

    #[test]
    fn lines_are_numbered_and_the_last_may_be_open() {
        let got = steps(b"ab\n\ncdef", 10);
        assert_eq!(
            got,
            [
                (
                    Step::Line {
                        number: 1,
                        terminated: true
                    },
                    b"ab".to_vec()
                ),
                (
                    Step::Line {
                        number: 2,
                        terminated: true
                    },
                    b"".to_vec()
                ),
                (
                    Step::Line {
                        number: 3,
                        terminated: false
                    },
                    b"cdef".to_vec()
                ),
            ]
        );
    }

    #[test]
    fn a_long_line_is_skipped_and_the_next_is_read() {
        let got = steps(b"0123456789\nok\n", 4);
        assert_eq!(
            got[0].0,
            Step::TooLong {
                number: 1,
                bytes: 10,
                terminated: true
            }
        );
        assert_eq!(
            got[1],
            (
                Step::Line {
                    number: 2,
                    terminated: true
                },
                b"ok".to_vec()
            )
        );
        assert_eq!(
            steps(b"0123\n", 4)[0].0,
            Step::Line {
                number: 1,
                terminated: true
            }
        );
    }

    #[test]
    fn half_pairs_are_replaced_and_whole_ones_kept() {
        let mut line = br#"{"a":"\ud83d x \ud83d\ude00 \uDE00 \\ud83d \ud83d\ud83d\ude00"}"#.to_vec();
        let repairs = repair(&mut line);
        assert!(repairs.lone_surrogate);
        let text = String::from_utf8(line).unwrap();
        assert_eq!(
            text,
            r#"{"a":"\ufffd x \ud83d\ude00 \ufffd \\ud83d \ufffd\ud83d\ude00"}"#
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["a"], "\u{fffd} x 😀 \u{fffd} \\ud83d \u{fffd}😀");
    }

    #[test]
    fn nul_bytes_bad_utf8_and_blanks_go() {
        let mut line = b"\0\0 {\"a\":\"\xff\"}\0\r".to_vec();
        let repairs = repair(&mut line);
        assert_eq!(
            repairs,
            Repairs {
                nul_bytes: true,
                invalid_utf8: true,
                lone_surrogate: false
            }
        );
        assert_eq!(line, "{\"a\":\"\u{fffd}\"}".as_bytes());
    }
}
