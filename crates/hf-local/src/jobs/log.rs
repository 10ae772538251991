//! A job's log: a file of one JSON object a line, which readers replay from disk and follow as it grows.

use std::io::{self, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::watch;

use super::view::timestamp;

/// How much of a log a reader holds in memory at a time.
const BLOCK_BYTES: usize = 64 * 1024;

/// How far a log has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogMark {
    /// The bytes that readers may show; always the end of a line.
    pub(crate) bytes: u64,
    /// Whether nothing will follow.
    pub(crate) closed: bool,
}

/// The one writer of a job's log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    file: File,
    mark: watch::Sender<LogMark>,
    written: u64,
    max_bytes: u64,
    cut: bool,
    /// The time of the last line: a log's times never go back, even when the clock does.
    last: Timestamp,
    /// Lines lost since the last successful write, and why.
    lost: Option<(u64, io::Error)>,
}

impl LogWriter {
    pub(crate) async fn open(path: &Path, max_bytes: u64, mark: watch::Sender<LogMark>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(path).await?;
        let written = file.metadata().await?.len();
        mark.send_modify(|mark| mark.bytes = written);
        Ok(Self {
            file,
            mark,
            written,
            max_bytes,
            cut: false,
            last: Timestamp::UNIX_EPOCH,
            lost: None,
        })
    }

    /// Appends lines and shows them to the readers at once.
    ///
    /// A failed write (a full disk) loses these lines and no others: the next success is preceded by a line
    /// that tells how many.
    pub(crate) async fn append<S: AsRef<str> + Sync>(&mut self, lines: &[S], now: Timestamp) {
        if self.cut || lines.is_empty() {
            return;
        }
        self.last = self.last.max(now);
        let time = timestamp(self.last);
        let mut block = Vec::new();
        if let Some((count, error)) = &self.lost {
            let note = format!("===== {count} log lines could not be written: {error} =====");
            push_line(&mut block, &note, &time);
        }
        for line in lines {
            let before = block.len();
            push_line(&mut block, line.as_ref(), &time);
            if self.written + block.len() as u64 > self.max_bytes {
                block.truncate(before);
                let limit = self.max_bytes;
                let note = format!(
                    "===== Log cut here: a job's log may hold {limit} bytes; the job goes on, its later output is dropped ====="
                );
                push_line(&mut block, &note, &time);
                self.cut = true;
                break;
            }
        }
        match self.write(&block).await {
            Ok(()) => self.lost = None,
            Err(error) => {
                self.cut = false;
                let before = self.lost.take().map_or(0, |(count, _)| count);
                self.lost = Some((before + lines.len() as u64, error));
            }
        }
    }

    async fn write(&mut self, block: &[u8]) -> io::Result<()> {
        let result = async {
            self.file.write_all(block).await?;
            self.file.flush().await
        }
        .await;
        if let Err(error) = result {
            // Part of a line may be on disk; readers have not been told of it yet.
            self.file.set_len(self.written).await?;
            return Err(error);
        }
        self.written += block.len() as u64;
        let written = self.written;
        self.mark.send_modify(|mark| mark.bytes = written);
        Ok(())
    }
}

fn push_line(block: &mut Vec<u8>, data: &str, time: &str) {
    block.extend_from_slice(b"{\"data\":");
    // A string always has a JSON form, and a vector takes all bytes.
    let _written = serde_json::to_writer(&mut *block, data);
    block.extend_from_slice(b",\"timestamp\":\"");
    block.extend_from_slice(time.as_bytes());
    block.extend_from_slice(b"\"}\n");
}

/// Cuts a half-written last line off the log of a job whose hub died.
pub(crate) async fn repair(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.metadata().await?.len();
    let whole = line_start(&mut file, length, 0).await?;
    if whole < length {
        file.set_len(whole).await?;
    }
    Ok(())
}

/// Reads a log from some place on, a bounded block at a time.
#[derive(Debug)]
pub(crate) struct LogReader {
    file: File,
    position: u64,
    carry: Vec<u8>,
}

impl LogReader {
    /// Opens a log at its start, or `tail` lines before `end`.
    pub(crate) async fn open(path: &Path, end: u64, tail: Option<u64>) -> io::Result<Self> {
        let mut file = File::open(path).await?;
        let position = match tail {
            None => 0,
            Some(lines) => line_start(&mut file, end, lines).await?,
        };
        file.seek(SeekFrom::Start(position)).await?;
        Ok(Self {
            file,
            position,
            carry: Vec::new(),
        })
    }

    /// Gives the next whole lines below `end`, each with its newline; empty when there is none.
    pub(crate) async fn next(&mut self, end: u64) -> io::Result<Vec<u8>> {
        while self.position < end {
            let room = usize::try_from(end - self.position)
                .unwrap_or(usize::MAX)
                .min(BLOCK_BYTES);
            let from = self.carry.len();
            self.carry.resize(from + room, 0);
            let read = self.file.read(&mut self.carry[from..]).await?;
            self.carry.truncate(from + read);
            if read == 0 {
                break;
            }
            self.position += read as u64;
            if let Some(last) = self.carry.iter().rposition(|&byte| byte == b'\n') {
                let rest = self.carry.split_off(last + 1);
                return Ok(std::mem::replace(&mut self.carry, rest));
            }
        }
        Ok(Vec::new())
    }
}

/// Finds where the last `lines` whole lines before `end` start; with 0, where the last whole line ends.
async fn line_start(file: &mut File, end: u64, lines: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut to = end;
    let mut newlines = 0;
    while to > 0 {
        let from = to.saturating_sub(BLOCK_BYTES as u64);
        let length = usize::try_from(to - from).unwrap_or(BLOCK_BYTES);
        file.seek(SeekFrom::Start(from)).await?;
        file.read_exact(&mut block[..length]).await?;
        for (index, byte) in block[..length].iter().enumerate().rev() {
            if *byte == b'\n' {
                newlines += 1;
                if newlines > lines {
                    return Ok(from + index as u64 + 1);
                }
            }
        }
        to = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Timestamp {
        "2026-10-09T08:00:21Z".parse().unwrap()
    }

    async fn read_all(path: &Path, end: u64, tail: Option<u64>) -> Vec<String> {
        let mut reader = LogReader::open(path, end, tail).await.unwrap();
        let mut text = Vec::new();
        loop {
            let block = reader.next(end).await.unwrap();
            if block.is_empty() {
                break;
            }
            text.extend(block);
        }
        String::from_utf8(text)
            .unwrap()
            .lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                value["data"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    #[tokio::test]
    async fn lines_come_back_as_the_hub_sends_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (mark, seen) = watch::channel(LogMark::default());
        let mut writer = LogWriter::open(&path, 1 << 20, mark).await.unwrap();
        writer.append(&["hi", "a \"quote\""], time()).await;
        // A clock that goes back does not take the log with it.
        writer.append(&["later"], Timestamp::UNIX_EPOCH).await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"data\":\"hi\",\"timestamp\":\"2026-10-09T08:00:21.000Z\"}\n\
             {\"data\":\"a \\\"quote\\\"\",\"timestamp\":\"2026-10-09T08:00:21.000Z\"}\n\
             {\"data\":\"later\",\"timestamp\":\"2026-10-09T08:00:21.000Z\"}\n"
        );
        assert_eq!(
            *seen.borrow(),
            LogMark {
                bytes: text.len() as u64,
                closed: false
            }
        );
    }

    #[tokio::test]
    async fn a_tail_counts_from_the_end_across_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (mark, seen) = watch::channel(LogMark::default());
        let mut writer = LogWriter::open(&path, 1 << 30, mark).await.unwrap();
        let lines: Vec<String> = (0..3000)
            .map(|line| format!("{line} {}", "x".repeat(line % 90)))
            .collect();
        writer.append(&lines, time()).await;
        let end = seen.borrow().bytes;
        assert!(end > 2 * BLOCK_BYTES as u64);
        for tail in [0, 1, 2, 999, 2999, 3000, 4000] {
            let expected = &lines[lines.len().saturating_sub(tail)..];
            assert_eq!(
                read_all(&path, end, Some(tail as u64)).await,
                expected,
                "tail {tail}"
            );
        }
        assert_eq!(read_all(&path, end, None).await, lines);
    }

    #[tokio::test]
    async fn a_line_longer_than_a_block_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (mark, seen) = watch::channel(LogMark::default());
        let mut writer = LogWriter::open(&path, 1 << 30, mark).await.unwrap();
        let lines = ["first".to_owned(), "y".repeat(3 * BLOCK_BYTES), "last".to_owned()];
        writer.append(&lines, time()).await;
        assert_eq!(read_all(&path, seen.borrow().bytes, None).await, lines);
    }

    #[tokio::test]
    async fn a_log_at_its_limit_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (mark, seen) = watch::channel(LogMark::default());
        let mut writer = LogWriter::open(&path, 200, mark).await.unwrap();
        for _ in 0..10 {
            writer.append(&["0123456789", "0123456789"], time()).await;
        }
        let lines = read_all(&path, seen.borrow().bytes, None).await;
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[3].starts_with("===== Log cut here"), "{lines:?}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn lines_that_a_full_disk_refuses_are_counted_and_not_shown() {
        let (mark, seen) = watch::channel(LogMark::default());
        let mut writer = LogWriter::open(Path::new("/dev/full"), 1 << 20, mark)
            .await
            .unwrap();
        writer.append(&["one", "two"], time()).await;
        writer.append(&["three"], time()).await;
        assert_eq!(*seen.borrow(), LogMark::default());
        assert_eq!(writer.lost.as_ref().map(|(count, _)| *count), Some(3));

        // With room again, the next line is preceded by what is missing.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let options = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .await
            .unwrap();
        writer.file = options;
        writer.append(&["four"], time()).await;
        let lines = read_all(&path, seen.borrow().bytes, None).await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("===== 3 log lines could not be written: "),
            "{lines:?}"
        );
        assert_eq!(lines[1], "four");
    }

    #[tokio::test]
    async fn a_torn_last_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        std::fs::write(&path, "{\"data\":\"a\"}\n{\"da").unwrap();
        repair(&path).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"data\":\"a\"}\n");
        std::fs::write(&path, "{\"da").unwrap();
        repair(&path).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        repair(&folder.path().join("none")).await.unwrap();
    }
}
