//! Reads chat rows from `train.jsonl` and `val.jsonl`, one line at a time.

mod json;
mod row;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use json::Json;
pub use row::{Arguments, ChatMessage, ChatRow, Content, FunctionCall, ToolCall};

use crate::error::{EngineError, Result};

/// A longer line is passed over without being held in memory.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// How many left-out rows are described one by one.
const MAX_EXAMPLES: usize = 5;

/// Counts the rows that could not be used, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostRows {
    /// Lines that are not JSON, or not UTF-8.
    pub broken: u64,
    /// Rows without a list of messages that have a role.
    pub no_messages: u64,
    /// Rows in which no assistant says or calls anything.
    pub no_assistant: u64,
    /// Lines longer than [`MAX_LINE_BYTES`].
    pub too_long: u64,
    /// The first few, with file, line and reason.
    pub examples: Vec<LostRow>,
}

/// One row that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRow {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

impl LostRows {
    /// Gives the number of rows lost.
    pub fn total(&self) -> u64 {
        self.broken + self.no_messages + self.no_assistant + self.too_long
    }

    fn note(&mut self, path: &Path, line: u64, why: impl Into<String>) {
        if self.examples.len() < MAX_EXAMPLES {
            let file = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            self.examples.push(LostRow {
                file,
                line,
                why: why.into(),
            });
        }
    }
}

impl fmt::Display for LostRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return formatter.write_str("it is empty");
        }
        write!(
            formatter,
            "{} broken, {} without messages, {} without an assistant's turn, {} too long",
            self.broken, self.no_messages, self.no_assistant, self.too_long
        )?;
        if let Some(first) = self.examples.first() {
            write!(
                formatter,
                "; first: {} line {}: {}",
                first.file, first.line, first.why
            )?;
        }
        Ok(())
    }
}

/// Streams the usable rows of one JSONL file and counts the others.
pub(crate) struct RowReader {
    path: PathBuf,
    reader: BufReader<File>,
    line_number: u64,
    line: Vec<u8>,
    lost: LostRows,
}

impl RowReader {
    /// Opens the file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => EngineError::DataMissing {
                path: path.to_path_buf(),
            },
            _ => EngineError::io("read", path)(source),
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            reader: BufReader::with_capacity(256 * 1024, file),
            line_number: 0,
            line: Vec::new(),
            lost: LostRows::default(),
        })
    }

    /// Gives the next usable row, or none at the end of the file.
    pub(crate) fn next_row(&mut self) -> Result<Option<ChatRow>> {
        loop {
            let Some(fits) = self.read_line().map_err(EngineError::io("read", &self.path))? else {
                return Ok(None);
            };
            self.line_number += 1;
            if !fits {
                self.lost.too_long += 1;
                self.lost.note(
                    &self.path,
                    self.line_number,
                    format!("longer than {MAX_LINE_BYTES} bytes"),
                );
                continue;
            }
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match parse_line(&self.line) {
                Err(why) => {
                    self.lost.broken += 1;
                    self.lost.note(&self.path, self.line_number, why);
                }
                Ok(value) => match ChatRow::from_json(&value) {
                    Err(why) => {
                        self.lost.no_messages += 1;
                        self.lost.note(&self.path, self.line_number, why);
                    }
                    Ok(row) if !row.has_assistant_turn() => {
                        self.lost.no_assistant += 1;
                        self.lost.note(
                            &self.path,
                            self.line_number,
                            "no assistant says or calls anything",
                        );
                    }
                    Ok(row) => return Ok(Some(row)),
                },
            }
        }
    }

    /// Gives what was left out so far.
    pub(crate) fn lost(&self) -> &LostRows {
        &self.lost
    }

    /// Fills `self.line`. Gives none at the end, false for a line that was too long and is now behind us.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        // A hostile line must not leave its size behind for the rest of the file.
        if self.line.capacity() > 1024 * 1024 {
            self.line.shrink_to(64 * 1024);
        }
        let mut any = false;
        let mut fits = true;
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(any.then_some(fits));
            }
            any = true;
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            if fits && self.line.len() + part.len() <= MAX_LINE_BYTES {
                self.line.extend_from_slice(part);
            } else {
                fits = false;
            }
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(fits));
            }
        }
    }
}

fn parse_line(line: &[u8]) -> Result<Json, String> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    match serde_json::from_slice::<Json>(line) {
        Ok(value) => Ok(value),
        Err(error) => {
            // Logs cut in the middle of a surrogate pair are common; Python reads such lines, so they are kept here too.
            let repaired = std::str::from_utf8(line).ok().and_then(replace_lone_surrogates);
            repaired
                .and_then(|text| serde_json::from_str(&text).ok())
                .ok_or_else(|| format!("not JSON: {error}"))
        }
    }
}

/// Replaces `\ud83d` without its other half by U+FFFD; none if there is nothing to replace.
fn replace_lone_surrogates(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let unit = |at: usize| -> Option<u32> {
        if bytes.get(at) != Some(&b'\\') || bytes.get(at + 1) != Some(&b'u') {
            return None;
        }
        u32::from_str_radix(text.get(at + 2..at + 6)?, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let (mut copied, mut at, mut changed) = (0, 0, false);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
                changed = true;
            }
            // Any other escape is two bytes; the second must not be taken for the start of one.
            _ => at += 2,
        }
    }
    out.push_str(text.get(copied..)?);
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn rows_of(content: &[u8]) -> (Vec<ChatRow>, LostRows) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut reader = RowReader::open(file.path()).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row().unwrap() {
            rows.push(row);
        }
        (rows, reader.lost().clone())
    }

    const GOOD: &str =
        r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes"}]}"#;

    #[test]
    fn counts_what_it_cannot_use_and_reads_on() {
        let content = format!(
            "{GOOD}\n\n{{broken\n{{\"messages\":[]}}\n[]\n{{\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]}}\n\u{0}\u{0}\n{GOOD}"
        );
        let (rows, lost) = rows_of(content.as_bytes());
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (lost.broken, lost.no_messages, lost.no_assistant, lost.too_long),
            (2, 2, 1, 0)
        );
        assert_eq!(lost.examples[0].line, 3);
        assert!(lost.to_string().contains("2 broken"), "{lost}");
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut content = vec![b'x'; MAX_LINE_BYTES + 10];
        content.push(b'\n');
        content.extend_from_slice(GOOD.as_bytes());
        let (rows, lost) = rows_of(&content);
        assert_eq!((rows.len(), lost.too_long), (1, 1));
    }

    #[test]
    fn bytes_that_are_not_text_are_counted() {
        let (rows, lost) = rows_of(b"\xff\xfe{}\n");
        assert_eq!((rows.len(), lost.broken), (0, 1));
    }

    #[test]
    fn half_a_surrogate_pair_does_not_lose_the_row() {
        let line =
            r#"{"messages":[{"role":"assistant","content":"cut \ud83d and \\ud83d whole \ud83d\ude00"}]}"#;
        let (rows, lost) = rows_of(line.as_bytes());
        assert_eq!(lost.total(), 0);
        assert_eq!(
            rows[0].messages[0].content.text(),
            "cut \u{fffd} and \\ud83d whole 😀"
        );
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        let line = "[".repeat(100_000);
        let (rows, lost) = rows_of(line.as_bytes());
        assert_eq!((rows.len(), lost.broken), (0, 1));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(lines in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..80), 0..8)) {
            let (rows, lost) = rows_of(&lines.join(&b'\n'));
            proptest::prop_assert!(rows.len() as u64 + lost.total() <= 700);
        }

        #[test]
        fn no_escapes_make_it_panic(text in r#"(\\u[dD][89abcdef][0-9a-f]{2}|\\\\|\\u|\\n|[a-zé"\\]){0,12}"#) {
            let _ = replace_lone_surrogates(&text);
            let _ = parse_line(format!("\"{text}\"").as_bytes());
        }
    }
}
