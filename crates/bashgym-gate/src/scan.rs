//! Scans a stream of bytes with memory that does not grow with it.

use crate::detect::{Detector, Names};
use crate::replace::GateKey;
use crate::review::{self, Policy};
use crate::rules::RulesError;

/// How much is scanned at once.
const BLOCK: usize = 1 << 20;
/// How much behind a place must be known to judge it: more than the longest key.
const AHEAD: usize = 64 << 10;
/// How much before a place is kept to judge it.
const BEHIND: usize = 4 << 10;

/// Something found in a stream. It never holds the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What was found.
    pub kind: &'static str,
    /// Where, in bytes from the beginning.
    pub offset: u64,
    /// The line, from 1.
    pub line: u64,
    /// What takes its place.
    pub placeholder: String,
    /// The finding's id for reviews: the same value has the same id.
    pub id: String,
    /// The secret's length in bytes.
    pub length: usize,
    /// The text around it, with everything found masked.
    pub context: String,
}

/// Scans bytes as they come.
#[derive(Debug)]
pub struct Scanner {
    detector: &'static Detector,
    names: Names,
    key: GateKey,
    block: usize,
    buffer: Vec<u8>,
    /// Up to here, findings in the buffer were reported.
    done: usize,
    /// Where the buffer begins in the stream.
    base: u64,
    /// Line breaks before the buffer.
    lines: u64,
}

impl Scanner {
    /// Starts a scan.
    ///
    /// # Errors
    ///
    /// [`RulesError`] if the rules cannot be read.
    pub fn new(key: GateKey, policy: Policy) -> Result<Self, RulesError> {
        let mut names = Names::default();
        names.set_policy(policy);
        Ok(Self {
            detector: Detector::shipped()?,
            names,
            key,
            block: BLOCK,
            buffer: Vec::new(),
            done: 0,
            base: 0,
            lines: 0,
        })
    }

    /// Adds secrets this process knows.
    #[must_use]
    pub fn with_known<'s>(mut self, secrets: impl IntoIterator<Item = &'s str>) -> Self {
        self.names.add_known(secrets);
        self
    }

    /// Scans in blocks of another size, for tests of what lies on their borders.
    #[must_use]
    pub fn with_block(mut self, bytes: usize) -> Self {
        self.block = bytes.max(1);
        self
    }

    /// Forgets where it was, and starts at the beginning of another stream.
    pub fn restart(&mut self) {
        self.buffer.clear();
        (self.done, self.base, self.lines) = (0, 0, 0);
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8], hits: &mut Vec<Hit>) {
        while !bytes.is_empty() {
            let room = (self.block + AHEAD + BEHIND)
                .saturating_sub(self.buffer.len())
                .max(1);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= self.block + AHEAD + BEHIND {
                self.process(false, hits);
            }
        }
    }

    /// Scans what is left.
    pub fn finish(&mut self, hits: &mut Vec<Hit>) {
        self.process(true, hits);
        self.restart();
    }

    fn process(&mut self, last: bool, hits: &mut Vec<Hit>) {
        let text = std::mem::take(&mut self.buffer);
        let found = self.detector.find(&text, &mut self.names);
        let until = if last {
            text.len()
        } else {
            let most = text.len() - AHEAD;
            // The end of a line is the best place to stop.
            memchr::memrchr(b'\n', &text[self.done..most]).map_or(most, |at| self.done + at + 1)
        };
        let mut line = self.lines;
        let mut counted = 0;
        for (index, finding) in found.iter().enumerate() {
            if finding.start < self.done || finding.start >= until {
                continue;
            }
            line += memchr::memchr_iter(b'\n', &text[counted..finding.start]).count() as u64;
            counted = finding.start;
            hits.push(Hit {
                kind: finding.kind,
                offset: self.base + finding.start as u64,
                line: line + 1,
                placeholder: self.key.placeholder(finding.kind, &finding.value),
                id: self.names.policy.id(&finding.value),
                length: finding.value.len(),
                context: review::context(&text, &found, index),
            });
        }
        if last {
            return;
        }
        let keep = until.saturating_sub(BEHIND);
        self.lines += memchr::memchr_iter(b'\n', &text[..keep]).count() as u64;
        self.base += keep as u64;
        self.done = until - keep;
        self.buffer = text;
        self.buffer.drain(..keep);
    }
}
