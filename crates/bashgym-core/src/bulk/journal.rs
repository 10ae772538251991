//! What was sent and what was answered, in a file that only grows.
//!
//! A line says that calls are about to be sent, that one was answered, that calls failed, or that they were not sent after all. A
//! line is on disk before its fact is acted on: `sent` before the call, `answer` before the answer is used. So after a crash
//! every answered call is known, and a call that is `sent` and nothing else may have been paid.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::answer::Answer;
use super::ask::CallKey;
use super::error::BulkError;

const FILE: &str = "journal.jsonl";
const LOCK: &str = "journal.lock";

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line {
    /// These are about to be sent.
    Sent { keys: Vec<CallKey>, at: Timestamp },
    /// This one was answered.
    Answer { key: CallKey, answer: Box<Answer> },
    /// These were sent, and no answer came; why is told.
    Failed {
        keys: Vec<CallKey>,
        at: Timestamp,
        why: String,
        may_be_billed: bool,
    },
    /// These were not sent after all: the budget refused.
    Unsent { keys: Vec<CallKey> },
}

/// A line as it is first read: which keys it is about, the answer left as text.
#[derive(Deserialize)]
struct Head<'l> {
    event: &'l str,
    #[serde(default)]
    key: Option<CallKey>,
    #[serde(default)]
    keys: Vec<CallKey>,
    #[serde(borrow, default)]
    answer: Option<&'l RawValue>,
}

/// What is known of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Sent, and nothing heard: it may have been paid.
    Unclear,
    /// Answered.
    Answered,
    /// Sent without an answer; that was told when it happened.
    Failed,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    Unclear,
    Failed,
    /// Where the line is.
    Answered {
        offset: u64,
        length: u64,
    },
}

type Written = Result<Vec<u64>, std::io::Error>;

/// Lines to write, each with its end, and who waits for them.
struct Batch {
    lines: Vec<Vec<u8>>,
    written: oneshot::Sender<Written>,
}

/// The journal of one piece of work. Only one process has it at a time.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    known: Mutex<HashMap<CallKey, Known>>,
    reader: Mutex<File>,
    to_writer: Option<mpsc::Sender<Batch>>,
    writer: Option<JoinHandle<()>>,
    dropped_bytes: u64,
    damaged_lines: u64,
    _lock: File,
}

impl Journal {
    /// Opens the journal in a folder, which is made if it is not there. A half last line is dropped.
    ///
    /// # Errors
    /// [`BulkError::Busy`] when another process has it, [`BulkError::Io`].
    pub fn open(dir: &Path) -> Result<Self, BulkError> {
        make_private_dir(dir)?;
        let lock_path = dir.join(LOCK);
        let lock = options()
            .open(&lock_path)
            .map_err(BulkError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(BulkError::Busy {
                    path: dir.to_path_buf(),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(BulkError::io("lock", &lock_path)(error));
            }
        }
        let path = dir.join(FILE);
        let mut file = options().open(&path).map_err(BulkError::io("open", &path))?;
        let read = read_all(&file).map_err(BulkError::io("read", &path))?;
        if read.dropped_bytes > 0 {
            file.set_len(read.end).map_err(BulkError::io("cut", &path))?;
        }
        file.seek(SeekFrom::Start(read.end))
            .map_err(BulkError::io("read", &path))?;
        let reader = File::open(&path).map_err(BulkError::io("open", &path))?;
        let (to_writer, batches) = mpsc::channel();
        let end = read.end;
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_all(file, end, &batches))
            .map_err(BulkError::io("start the writer of", &path))?;
        Ok(Self {
            path,
            known: Mutex::new(read.known),
            reader: Mutex::new(reader),
            to_writer: Some(to_writer),
            writer: Some(writer),
            dropped_bytes: read.dropped_bytes,
            damaged_lines: read.damaged_lines,
            _lock: lock,
        })
    }

    /// What is known of a call; none for one that was never sent.
    pub fn state(&self, key: CallKey) -> Option<CallState> {
        self.known().get(&key).map(|known| match known {
            Known::Unclear => CallState::Unclear,
            Known::Failed => CallState::Failed,
            Known::Answered { .. } => CallState::Answered,
        })
    }

    /// How many calls may have been paid without an answer that is known.
    pub fn unclear(&self) -> u64 {
        let known = self.known();
        let unclear = known.values().filter(|known| matches!(known, Known::Unclear));
        unclear.count() as u64
    }

    /// Bytes of a half last line that were dropped, and lines that could not be read.
    pub fn damage(&self) -> (u64, u64) {
        (self.dropped_bytes, self.damaged_lines)
    }

    /// The answer to a call. Reads from disk.
    ///
    /// # Errors
    /// [`BulkError::Io`], also when the line is not what it was.
    pub fn answer(&self, key: CallKey) -> Result<Option<Answer>, BulkError> {
        let Some(Known::Answered { offset, length }) = self.known().get(&key).copied() else {
            return Ok(None);
        };
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader
                .seek(SeekFrom::Start(offset))
                .and_then(|_| reader.read_exact(&mut bytes))
                .map_err(BulkError::io("read", &self.path))?;
        }
        match serde_json::from_slice(&bytes) {
            Ok(Line::Answer { answer, .. }) => Ok(Some(*answer)),
            Ok(_) => Err(BulkError::data(format!("{} has changed", self.path.display()))),
            Err(error) => Err(BulkError::io("read", &self.path)(error.into())),
        }
    }

    /// Writes that these calls are about to be sent.
    pub(crate) async fn sent(&self, keys: &[CallKey], at: Timestamp) -> Result<(), BulkError> {
        let keys = keys.to_vec();
        let line = Line::Sent {
            keys: keys.clone(),
            at,
        };
        self.append(&[line]).await?;
        let mut known = self.known();
        for key in keys {
            known.insert(key, Known::Unclear);
        }
        Ok(())
    }

    /// Writes answers.
    pub(crate) async fn answered(&self, answers: Vec<(CallKey, Answer)>) -> Result<(), BulkError> {
        let keys: Vec<CallKey> = answers.iter().map(|(key, _)| *key).collect();
        let lines: Vec<Line> = answers
            .into_iter()
            .map(|(key, answer)| Line::Answer {
                key,
                answer: Box::new(answer),
            })
            .collect();
        let places = self.append(&lines).await?;
        let mut known = self.known();
        for (key, (offset, length)) in keys.into_iter().zip(places) {
            known.insert(key, Known::Answered { offset, length });
        }
        Ok(())
    }

    /// Writes that these calls were sent without an answer.
    pub(crate) async fn failed(
        &self,
        keys: &[CallKey],
        at: Timestamp,
        why: &str,
        may_be_billed: bool,
    ) -> Result<(), BulkError> {
        let line = Line::Failed {
            keys: keys.to_vec(),
            at,
            why: why.to_owned(),
            may_be_billed,
        };
        self.append(&[line]).await?;
        let mut known = self.known();
        for key in keys {
            known.insert(*key, Known::Failed);
        }
        Ok(())
    }

    /// Writes that these calls were not sent after all.
    pub(crate) async fn unsent(&self, keys: &[CallKey]) -> Result<(), BulkError> {
        self.append(&[Line::Unsent { keys: keys.to_vec() }]).await?;
        let mut known = self.known();
        for key in keys {
            known.remove(key);
        }
        Ok(())
    }

    /// Appends lines and waits until they are on disk; where each begins, and its length without its end.
    async fn append(&self, lines: &[Line]) -> Result<Vec<(u64, u64)>, BulkError> {
        let gone = || BulkError::io("write", &self.path)(std::io::Error::other("the writer has ended"));
        let mut texts = Vec::with_capacity(lines.len());
        for line in lines {
            let mut text =
                serde_json::to_vec(line).map_err(|error| BulkError::io("write", &self.path)(error.into()))?;
            text.push(b'\n');
            texts.push(text);
        }
        let lengths: Vec<u64> = texts.iter().map(|text| text.len() as u64 - 1).collect();
        let (written, wait) = oneshot::channel();
        let batch = Batch {
            lines: texts,
            written,
        };
        self.to_writer
            .as_ref()
            .ok_or_else(gone)?
            .send(batch)
            .map_err(|_| gone())?;
        let offsets = wait
            .await
            .map_err(|_| gone())?
            .map_err(BulkError::io("write", &self.path))?;
        Ok(offsets.into_iter().zip(lengths).collect())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<CallKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The writer ends when nobody can send to it any more; the lock goes after it.
        self.to_writer = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Answers are nobody else's business.
fn make_private_dir(dir: &Path) -> Result<(), BulkError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(BulkError::io("make the folder", dir))
}

struct ReadBack {
    known: HashMap<CallKey, Known>,
    end: u64,
    dropped_bytes: u64,
    damaged_lines: u64,
}

fn read_all(file: &File) -> std::io::Result<ReadBack> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut read = ReadBack {
        known: HashMap::new(),
        end: 0,
        dropped_bytes: 0,
        damaged_lines: 0,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            return Ok(read);
        }
        if line.last() != Some(&b'\n') {
            read.dropped_bytes = length;
            return Ok(read);
        }
        let offset = read.end;
        read.end += length;
        let Ok(head) = serde_json::from_slice::<Head<'_>>(&line) else {
            read.damaged_lines += 1;
            continue;
        };
        match (head.event, head.key, head.answer) {
            ("answer", Some(key), Some(_)) => {
                let length = length - 1;
                read.known.insert(key, Known::Answered { offset, length });
            }
            ("unsent", ..) => {
                for key in head.keys {
                    read.known.remove(&key);
                }
            }
            ("sent" | "failed", ..) => {
                let known = if head.event == "sent" {
                    Known::Unclear
                } else {
                    Known::Failed
                };
                for key in head.keys {
                    read.known.insert(key, known);
                }
            }
            _ => read.damaged_lines += 1,
        }
    }
}

/// Writes batches as they come, all that wait with one sync.
fn write_all(mut file: File, mut end: u64, batches: &mpsc::Receiver<Batch>) {
    while let Ok(first) = batches.recv() {
        let mut waiting = vec![first];
        waiting.extend(batches.try_iter());
        let mut bytes = Vec::new();
        let mut offsets = Vec::with_capacity(waiting.len());
        for batch in &waiting {
            let mut own = Vec::with_capacity(batch.lines.len());
            for line in &batch.lines {
                own.push(end + bytes.len() as u64);
                bytes.extend_from_slice(line);
            }
            offsets.push(own);
        }
        let outcome = file.write_all(&bytes).and_then(|()| file.sync_data());
        if outcome.is_ok() {
            end += bytes.len() as u64;
        } else {
            // What is half written must not become the beginning of the next line.
            let _ = file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end)));
        }
        for (batch, offsets) in waiting.into_iter().zip(offsets) {
            let told = match &outcome {
                Ok(()) => Ok(offsets),
                Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
            };
            // Whoever no longer waits has been told by going away.
            let _ = batch.written.send(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use hf_inference::{Cost, Message};
    use proptest::prelude::*;

    use super::super::answer::Content;
    use super::*;

    fn key(name: &str) -> CallKey {
        CallKey::of([name.as_bytes()])
    }

    fn answer(text: &str) -> Answer {
        Answer {
            at: Timestamp::UNIX_EPOCH,
            content: Content::Chat {
                message: Message::assistant(text),
                finish_reason: None,
                confidence: None,
            },
            model: "org/name".to_owned(),
            provider: None,
            attempts: 1,
            usage: None,
            cost: Cost::Unknown,
            shared_by: 1,
            millis: 1,
        }
    }

    async fn fill(dir: &Path) {
        let journal = Journal::open(dir).unwrap();
        let at = Timestamp::UNIX_EPOCH;
        journal
            .sent(&[key("a"), key("b"), key("c"), key("d")], at)
            .await
            .unwrap();
        journal
            .answered(vec![(key("a"), answer("one")), (key("b"), answer("two"))])
            .await
            .unwrap();
        journal.failed(&[key("c")], at, "503", true).await.unwrap();
        journal.sent(&[key("e")], at).await.unwrap();
        journal.unsent(&[key("e")]).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_written_is_known_after_a_restart_and_what_was_only_sent_is_unclear() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path()).await;
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.answer(key("a")).unwrap(), Some(answer("one")));
        assert_eq!(journal.answer(key("b")).unwrap(), Some(answer("two")));
        assert_eq!(journal.state(key("c")), Some(CallState::Failed));
        assert_eq!(journal.state(key("d")), Some(CallState::Unclear));
        assert_eq!(journal.state(key("e")), None);
        assert_eq!((journal.unclear(), journal.damage()), (1, (0, 0)));
    }

    #[tokio::test]
    async fn a_second_process_is_refused_and_the_first_one_s_end_frees_it() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(BulkError::Busy { .. })));
        drop(journal);
        Journal::open(dir.path()).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// A crash may cut the file anywhere: whole lines stay, the half one goes, and writing goes on behind them.
        #[test]
        fn wherever_it_is_cut_it_reads_and_goes_on(share in 0.0_f64..1.0) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let dir = tempfile::tempdir().unwrap();
            runtime.block_on(fill(dir.path()));
            let path = dir.path().join(FILE);
            let whole = std::fs::read(&path).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small length")]
            let cut = (whole.len() as f64 * share) as usize;
            std::fs::write(&path, &whole[..cut]).unwrap();
            let kept = whole[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            {
                let journal = Journal::open(dir.path()).unwrap();
                prop_assert_eq!(journal.damage(), ((cut - kept) as u64, 0));
                runtime.block_on(journal.answered(vec![(key("z"), answer("last"))])).unwrap();
            }
            let journal = Journal::open(dir.path()).unwrap();
            prop_assert_eq!(journal.damage(), (0, 0));
            prop_assert_eq!(journal.answer(key("z")).unwrap(), Some(answer("last")));
        }
    }
}
