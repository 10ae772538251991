//! A journal in a file.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::sync::Mutex;

use super::{LogCursor, LogJournal};
use crate::logs::LogLine;
use crate::submit::JournalError;

/// Keeps a log in a file with one JSON object a line, append-only.
///
/// A last line without an end, left by a crash, is cut off when the file is opened. One process at a time.
///
/// # Shape
/// `{"data":"the line","timestamp":"2026-10-09T08:00:00Z"}`, as the Hub sends it; `timestamp` may be null.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    state: Mutex<(File, LogCursor)>,
}

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    data: T,
    timestamp: Option<Timestamp>,
}

impl FileJournal {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it can not be opened, read or shortened, or a whole line in it is not one of ours.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let opened = read(&path)
            .await
            .map_err(|error| JournalError::new(format!("{}: {error}", path.display())))?;
        Ok(Self {
            path,
            state: Mutex::new(opened),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

async fn read(path: &Path) -> std::io::Result<(File, LogCursor)> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .await?;
    let mut reader = BufReader::new(&mut file);
    let (mut cursor, mut whole, mut buffer) = (LogCursor::default(), 0, Vec::new());
    loop {
        buffer.clear();
        let read = reader.read_until(b'\n', &mut buffer).await?;
        if read == 0 || buffer.last() != Some(&b'\n') {
            break;
        }
        let kept: Kept<String> = serde_json::from_slice(&buffer)?;
        cursor.push(&LogLine {
            index: cursor.lines(),
            timestamp: kept.timestamp,
            text: kept.data,
        });
        whole += read as u64;
    }
    file.set_len(whole).await?;
    file.seek(SeekFrom::Start(whole)).await?;
    Ok((file, cursor))
}

#[async_trait]
impl LogJournal for FileJournal {
    async fn cursor(&self) -> Result<LogCursor, JournalError> {
        Ok(self.state.lock().await.1.clone())
    }

    async fn append(&self, after: u64, lines: &[LogLine]) -> Result<(), JournalError> {
        let mut state = self.state.lock().await;
        let (file, cursor) = &mut *state;
        let failed = |error: std::io::Error| JournalError::new(format!("{}: {error}", self.path.display()));
        if cursor.lines() != after {
            return Err(JournalError::new(format!(
                "{} holds {} lines, not {after}: somebody else appends",
                self.path.display(),
                cursor.lines()
            )));
        }
        let mut text = Vec::new();
        for line in lines {
            let kept = Kept {
                data: &line.text,
                timestamp: line.timestamp,
            };
            serde_json::to_writer(&mut text, &kept).map_err(|error| failed(error.into()))?;
            text.push(b'\n');
        }
        file.write_all(&text).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
        for line in lines {
            cursor.push(line);
        }
        Ok(())
    }
}
