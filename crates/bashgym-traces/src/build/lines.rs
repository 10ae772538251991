//! Files of lines between the stages.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::BUFFER;
use super::store::{ROWS, SESSIONS, SessionRecord, read_sessions};
use crate::error::TracesError;

/// A file of JSON lines on its way to disk.
pub(super) struct Lines {
    out: BufWriter<File>,
    path: PathBuf,
    count: u64,
}

impl Lines {
    pub(super) fn create(path: &Path) -> Result<Self, TracesError> {
        let file = File::create(path).map_err(|e| TracesError::io("creating", path, e))?;
        Ok(Self {
            out: BufWriter::with_capacity(BUFFER, file),
            path: path.to_owned(),
            count: 0,
        })
    }

    pub(super) fn write<T: Serialize>(&mut self, value: &T) -> Result<(), TracesError> {
        self.count += 1;
        serde_json::to_writer(&mut self.out, value)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|e| TracesError::io("writing", &self.path, e))
    }

    pub(super) fn finish(mut self) -> Result<u64, TracesError> {
        self.out
            .flush()
            .map_err(|e| TracesError::io("writing", &self.path, e))?;
        Ok(self.count)
    }
}

pub(super) fn each_line(
    path: &Path,
    mut take: impl FnMut(&str) -> Result<(), TracesError>,
) -> Result<(), TracesError> {
    let io = |e| TracesError::io("reading", path, e);
    let mut reader = BufReader::with_capacity(BUFFER, File::open(path).map_err(io)?);
    let mut line = String::new();
    while reader.read_line(&mut line).map_err(io)? > 0 {
        take(line.trim_end_matches('\n'))?;
        line.clear();
    }
    Ok(())
}

/// What an earlier run of the score stage made, by session.
pub(super) struct Known {
    records: HashMap<String, (u64, SessionRecord)>,
    rows: Option<File>,
    path: PathBuf,
}

impl Known {
    pub(super) fn open(dir: &Path) -> Result<Self, TracesError> {
        let path = dir.join(ROWS);
        let mut known = Self {
            records: HashMap::new(),
            rows: File::open(&path).ok(),
            path,
        };
        if known.rows.is_some() && dir.join(SESSIONS).exists() {
            let mut offset = 0;
            read_sessions(dir, |record| {
                let bytes: u64 = record.rows.iter().map(|row| row.bytes + 1).sum();
                known.records.insert(record.key.clone(), (offset, record));
                offset += bytes;
                Ok(())
            })?;
        }
        Ok(known)
    }

    /// Returns the record with the bytes of its rows.
    pub(super) fn take(&mut self, key: &str) -> Result<Option<(SessionRecord, Vec<u8>)>, TracesError> {
        let (Some(rows), Some((offset, record))) = (&mut self.rows, self.records.get(key)) else {
            return Ok(None);
        };
        let size: u64 = record.rows.iter().map(|row| row.bytes + 1).sum();
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        rows.seek(SeekFrom::Start(*offset))
            .and_then(|_| rows.read_exact(&mut bytes))
            .map_err(|e| TracesError::io("reading", &self.path, e))?;
        Ok(Some((record.clone(), bytes)))
    }
}

impl SessionRecord {
    /// Cuts the bytes of all rows into rows.
    pub(super) fn cut<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut left = bytes;
        self.rows
            .iter()
            .filter_map(|row| {
                let size = usize::try_from(row.bytes).ok()?;
                let (own, rest) = left.split_at_checked(size)?;
                left = rest.get(1..)?;
                Some(own)
            })
            .collect()
    }
}
