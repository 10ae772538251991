//! The training data as tokens on disk, cut into sequences.
//!
//! The tokens of all rows follow each other in one file; a sequence is a stretch of it. Memory stays constant however
//! large the data set is: four bytes a sequence.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::chat::segments;
use crate::data::{ChatRow, LostRows, RowReader};
use crate::error::{EngineError, Result};
use crate::model::Batch;
use crate::tokenizer::{ChatTokenizer, EncodedSegment};

const LEARNED: u32 = 1 << 31;
const FIRST: u32 = 1 << 30;
const ID: u32 = FIRST - 1;

/// Rows that are tokenized at once.
const ROWS_AT_ONCE: usize = 64;

/// Tokens on disk, with the sequences worth reading.
#[derive(Debug)]
pub(crate) struct Corpus {
    path: PathBuf,
    file: Mutex<File>,
    /// Tokens in one sequence.
    length: usize,
    /// The sequences that hold something to learn.
    pub(crate) sequences: Vec<u32>,
    /// Rows read.
    pub(crate) rows: u64,
    /// Rows that could not be used.
    pub(crate) lost: LostRows,
    /// Tokens of all rows.
    pub(crate) tokens: u64,
    /// Those of them that are learned.
    pub(crate) learned_tokens: u64,
    /// Tells this content from another.
    pub(crate) checksum: u32,
}

struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    length: u64,
    written: u64,
    learned: u64,
    sequences: Vec<u32>,
    hasher: crc32fast::Hasher,
}

impl Writer {
    fn push(&mut self, token: u32) -> Result<()> {
        if token & LEARNED != 0 && self.written > 0 {
            self.learned += 1;
            // The token is what the place before it should say.
            let sequence = (self.written - 1) / self.length;
            let sequence = u32::try_from(sequence).map_err(|_| EngineError::BadConfig {
                option: "sequence_length",
                why: "the data set has more than four billion sequences".to_owned(),
            })?;
            if self.sequences.last() != Some(&sequence) {
                self.sequences.push(sequence);
            }
        }
        let bytes = token.to_le_bytes();
        self.hasher.update(&bytes);
        self.written += 1;
        self.out
            .write_all(&bytes)
            .map_err(EngineError::io("write", &self.path))
    }

    fn push_row(&mut self, row: &[EncodedSegment]) -> Result<()> {
        let mut mark = FIRST;
        for segment in row {
            for (index, id) in segment.ids.iter().enumerate() {
                let learned = segment.learned.get(index).copied().unwrap_or(false);
                self.push((id & ID) | mark | if learned { LEARNED } else { 0 })?;
                mark = 0;
            }
        }
        Ok(())
    }
}

impl Corpus {
    /// Tokenizes a JSONL file into `path`.
    pub(crate) fn build(
        source: &Path,
        path: &Path,
        tokenizer: &ChatTokenizer,
        length: usize,
    ) -> Result<Self> {
        let mut reader = RowReader::open(source)?;
        let file = File::create(path).map_err(EngineError::io("create", path))?;
        let mut writer = Writer {
            path: path.to_path_buf(),
            out: BufWriter::with_capacity(256 * 1024, file),
            length: length as u64,
            written: 0,
            learned: 0,
            sequences: Vec::new(),
            hasher: crc32fast::Hasher::new(),
        };
        let mut rows = 0;
        loop {
            let batch = next_rows(&mut reader)?;
            if batch.is_empty() {
                break;
            }
            rows += batch.len() as u64;
            let encoded: Vec<Result<Vec<EncodedSegment>>> = batch
                .par_iter()
                .map(|row| {
                    segments(&row.messages, &row.tools)
                        .map(|it| tokenizer.encode_segment(&it))
                        .collect()
                })
                .collect();
            for row in encoded {
                writer.push_row(&row?)?;
            }
        }
        let tokens = writer.written;
        while writer.written % writer.length != 1 {
            writer.push(FIRST)?;
        }
        writer.out.flush().map_err(EngineError::io("write", path))?;
        let file = File::open(path).map_err(EngineError::io("read", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: Mutex::new(file),
            length,
            sequences: writer.sequences,
            rows,
            lost: reader.lost().clone(),
            tokens,
            learned_tokens: writer.learned,
            checksum: writer.hasher.finalize(),
        })
    }

    /// Reads sequences as one batch.
    pub(crate) fn batch(&self, sequences: &[u32]) -> Result<Batch> {
        let length = self.length;
        let mut ids = Vec::with_capacity(sequences.len() * length);
        let mut starts = Vec::with_capacity(sequences.len() * length);
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        let mut bytes = vec![0_u8; (length + 1) * 4];
        for &sequence in sequences {
            self.read(u64::from(sequence), &mut bytes)?;
            let tokens: Vec<u32> = bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|it| u32::from_le_bytes(*it))
                .collect();
            let mut start = 0;
            for (position, pair) in tokens.windows(2).enumerate() {
                if pair[0] & FIRST != 0 {
                    start = u32::try_from(position).unwrap_or(0);
                }
                if pair[1] & LEARNED != 0 {
                    rows.push(u32::try_from(ids.len()).unwrap_or(u32::MAX));
                    targets.push(pair[1] & ID);
                }
                ids.push(pair[0] & ID);
                starts.push(start);
            }
        }
        Ok(Batch {
            sequences: sequences.len(),
            length,
            ids: ids.into(),
            starts: starts.into(),
            rows: rows.into(),
            targets: targets.into(),
        })
    }

    fn read(&self, sequence: u64, bytes: &mut [u8]) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(sequence * self.length as u64 * 4))
            .and_then(|_| file.read_exact(bytes))
            .map_err(EngineError::io("read", &self.path))
    }
}

fn next_rows(reader: &mut RowReader) -> Result<Vec<ChatRow>> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    while rows.len() < ROWS_AT_ONCE && bytes < crate::data::MAX_LINE_BYTES {
        let Some(row) = reader.next_row()? else { break };
        bytes += row
            .messages
            .iter()
            .map(|message| message.content.text().len())
            .sum::<usize>();
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(lines: &[&str], length: usize) -> (tempfile::TempDir, Corpus, ChatTokenizer) {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("train.jsonl");
        std::fs::write(&source, lines.join("\n")).unwrap();
        let tokenizer = ChatTokenizer::train(std::iter::empty(), 0).unwrap();
        let corpus = Corpus::build(&source, &dir.path().join("tokens"), &tokenizer, length).unwrap();
        (dir, corpus, tokenizer)
    }

    const ROW: &str = r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes"}]}"#;

    #[test]
    fn a_batch_holds_the_learned_tokens_as_targets() {
        let (_dir, corpus, tokenizer) = corpus(&[ROW, ROW], 64);
        assert_eq!((corpus.rows, corpus.learned_tokens), (2, 8));
        assert_eq!(corpus.sequences, [0]);
        let batch = corpus.batch(&[0]).unwrap();
        assert_eq!(tokenizer.decode(&batch.targets).unwrap(), "yesyes");
        for (row, target) in batch.rows.iter().zip(batch.targets.iter()) {
            assert_eq!(batch.ids[*row as usize + 1], *target);
        }
        let second = corpus.tokens / 2;
        assert_eq!(u64::from(batch.starts[second as usize - 1]), 0);
        assert_eq!(u64::from(batch.starts[second as usize]), second);
    }

    #[test]
    fn every_learned_token_is_a_target_once_however_it_is_cut() {
        for length in [8, 9, 13, 64] {
            let (_dir, corpus, _) = corpus(&[ROW, ROW, ROW], length);
            let batch = corpus.batch(&corpus.sequences).unwrap();
            assert_eq!(batch.targets.len() as u64, corpus.learned_tokens, "{length}");
            assert_eq!(batch.ids.len(), corpus.sequences.len() * length);
        }
    }

    #[test]
    fn sequences_with_nothing_to_learn_are_left_out() {
        let long = format!(
            r#"{{"messages":[{{"role":"user","content":"{}"}},{{"role":"assistant","content":"yes"}}]}}"#,
            "x".repeat(100)
        );
        let (_dir, corpus, _) = corpus(&[&long], 16);
        assert!(corpus.sequences.len() <= 2, "{:?}", corpus.sequences);
        assert!(corpus.tokens > 100);
    }
}
