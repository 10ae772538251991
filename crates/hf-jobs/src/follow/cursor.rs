//! The place in a log up to which it is known.

use std::collections::VecDeque;

use crate::logs::LogLine;

/// How many of the last lines are compared to find the place again.
pub(crate) const WINDOW: usize = 256;
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// The place in a log up to which it is known, and enough of a print of what came before to tell whether a replay is the
/// same log.
///
/// It is made anew from the kept lines: begin with the default and [`LogCursor::push`] each, the heading too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogCursor {
    pub(crate) lines: u64,
    /// The print of all lines; none where lines were skipped unseen.
    pub(crate) digest: Option<u64>,
    /// The print of the first line, where it was seen.
    pub(crate) first: Option<u64>,
    /// The prints of the last lines.
    pub(crate) window: VecDeque<u64>,
    /// When the last line was written, as far as lines say that.
    pub(crate) last: Option<jiff::Timestamp>,
}

impl LogCursor {
    /// A place of which only the number of lines before it is known.
    pub fn unseen(lines: u64) -> Self {
        Self {
            lines,
            ..Self::default()
        }
    }

    /// How many lines are known.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes in the next line.
    pub fn push(&mut self, line: &LogLine) {
        self.push_print(print(line));
        self.last = self.last.max(line.timestamp);
    }

    pub(crate) fn push_print(&mut self, print: u64) {
        if self.lines == 0 {
            self.first = Some(print);
            self.digest = Some(FNV_START);
        }
        self.digest = self.digest.map(|digest| chain(digest, print));
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(print);
        self.lines += 1;
    }
}

/// The print of nothing, to be continued with [`chain`].
pub(crate) fn no_lines() -> u64 {
    FNV_START
}

/// The print of a log and one more line.
pub(crate) fn chain(digest: u64, print: u64) -> u64 {
    print.to_le_bytes().iter().fold(digest, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

/// A print of a line: its time and its text. FNV-1a, which stays the same over versions; nobody forges a log to hurt oneself.
pub(crate) fn print(line: &LogLine) -> u64 {
    let time = line.timestamp.map(|time| time.as_nanosecond().to_le_bytes());
    let bytes = time.iter().flatten().chain([&0]).chain(line.text.as_bytes());
    bytes.fold(FNV_START, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}
