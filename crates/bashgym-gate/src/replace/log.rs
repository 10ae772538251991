//! Cleans a raw session log, so that it stays the agent's own file but for what was found.

use std::borrow::Cow;
use std::io::{self, BufRead, Write};

use super::Gate;

/// What happened to a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Lines in it.
    pub lines: u64,
    /// Lines in which something was replaced.
    pub changed: u64,
}

impl Gate {
    /// Writes a log of lines with what was found replaced. Lines without a finding keep their bytes, JSON stays JSON, and
    /// memory holds one line. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// Names that only later lines tell are found everywhere when the log goes through the gate twice: the gate remembers.
    ///
    /// # Errors
    ///
    /// Those of reading and writing.
    pub fn log(&mut self, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<LogCounts> {
        let mut counts = LogCounts::default();
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line)? > 0 {
            counts.lines += 1;
            let end = line.len() - usize::from(line.ends_with(b"\n"));
            // Almost every line is whole, and quicker checked than repaired.
            let text = std::str::from_utf8(&line[..end])
                .map_or_else(|_| String::from_utf8_lossy(&line[..end]), Cow::Borrowed);
            let cleaned = self.line(&text);
            counts.changed += u64::from(matches!(cleaned, Cow::Owned(_)));
            to.write_all(cleaned.as_bytes())?;
            to.write_all(&line[end..])?;
            line.clear();
        }
        Ok(counts)
    }
}
