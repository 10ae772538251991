//! One file of rows: where each row begins, and what its columns hold.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;

use super::answer::{ViewerError, ViewerResult};
use super::features::Kind;
use super::statistics::Column;
use crate::git::Oid;
use crate::repos::{Blob, Cache};
use crate::state::Hub;

/// The place of every so manieth row is kept; from there the lines are counted.
const STRIDE: u64 = 64;
/// A longer line is refused.
const MAX_LINE: usize = 128 << 20;

/// Tables that were read lately, by the blob of their file.
pub(crate) type Tables = Cache<Oid, Arc<Table>>;

/// Makes a cache for tables.
pub(crate) fn tables() -> Tables {
    Cache::new(64 << 20)
}

/// What was found out about a file by reading it once.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) rows: u64,
    /// The size of the file in the repository.
    pub(super) bytes: u64,
    /// The rows as lines in a file without a name, where the file in the repository is none of lines; and their size.
    lines: Option<(std::fs::File, u64)>,
    /// Byte offsets of the rows 0, [`STRIDE`], twice that, …
    offsets: Vec<u64>,
    /// In order of first appearance.
    pub(super) columns: Vec<(String, Column)>,
}

impl Table {
    pub(super) fn weight(&self) -> usize {
        // A file on disk is held too; it counts for less than memory.
        let lines = self.lines.as_ref().map_or(0, |(_, size)| size / 16);
        self.weight_in_memory() + usize::try_from(lines).unwrap_or(usize::MAX / 2)
    }

    fn weight_in_memory(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|(name, column)| name.len() + column.weight())
            .sum();
        256 + self.offsets.len() * 8 + columns
    }

    /// Columns and their kinds.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.columns
            .iter()
            .map(|(name, column)| (name.as_str(), &column.kind))
    }
}

/// The bytes of a file, or a part of them.
fn bytes(
    hub: &Arc<Hub>,
    oid: Oid,
    blob: &Blob,
    range: Range<u64>,
) -> impl Stream<Item = ViewerResult<axum::body::Bytes>> + Send + Unpin + use<> {
    let hub = Arc::clone(hub);
    let pointer = blob.pointer.clone();
    let opened = async move {
        let Some(pointer) = pointer else {
            let body = hub.blob_body(oid).await?;
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(body.len());
            let part = body.slice(at(range.start)..at(range.end));
            return Ok(futures::stream::iter([Ok(part)]).left_stream());
        };
        let object = hub.large.find(&pointer.sha256).await?.ok_or_else(|| {
            ViewerError::unreadable("The content of a large file is missing from the data folder")
        })?;
        let pieces = hub.large.stream(&object, range);
        let pieces = pieces.map(|piece| piece.map_err(|error| ViewerError::unreadable(error.to_string())));
        Ok(pieces.right_stream())
    };
    futures::stream::once(opened)
        .flat_map(|opened: ViewerResult<_>| match opened {
            Ok(pieces) => pieces.left_stream(),
            Err(error) => futures::stream::iter([Err(error)]).right_stream(),
        })
        .boxed()
}

/// How much of a file of lines is read at a time.
const PIECE: usize = 1 << 18;

/// The bytes of a file without a name, or a part of them.
fn local(
    file: &std::fs::File,
    range: Range<u64>,
) -> ViewerResult<impl Stream<Item = ViewerResult<axum::body::Bytes>> + Send + Unpin + use<>> {
    let file = file.try_clone().map_err(lost)?;
    let next = move |at: u64| {
        let file = file.try_clone();
        let size = usize::try_from(range.end.saturating_sub(at))
            .unwrap_or(PIECE)
            .min(PIECE);
        async move {
            if size == 0 {
                return Ok(None);
            }
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; size];
                std::os::unix::fs::FileExt::read_exact_at(&file?, &mut piece, at)?;
                Ok::<_, std::io::Error>(axum::body::Bytes::from(piece))
            });
            let piece = piece.await.map_err(|_| stopped())?.map_err(lost)?;
            Ok(Some((piece, at + size as u64)))
        }
    };
    Ok(futures::stream::try_unfold(range.start, next).boxed())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn lost(error: std::io::Error) -> ViewerError {
    ViewerError::unreadable(format!("a file of the viewer cannot be used: {error}"))
}

fn stopped() -> ViewerError {
    ViewerError::unreadable("the work was stopped")
}

/// Cuts a stream of bytes into lines, without their ends. One line is in memory at a time.
struct Lines<S> {
    pieces: S,
    rest: Vec<u8>,
    /// How much of `rest` holds no line end.
    searched: usize,
    ended: bool,
}

impl<S: Stream<Item = ViewerResult<axum::body::Bytes>> + Unpin> Lines<S> {
    fn new(pieces: S) -> Self {
        Self {
            pieces,
            rest: Vec::new(),
            searched: 0,
            ended: false,
        }
    }

    /// Takes all lines that are complete. `None` at the end.
    async fn next(&mut self, line: &mut Vec<u8>) -> ViewerResult<Option<usize>> {
        loop {
            let unsearched = self.rest.get(self.searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unsearched) {
                let end = self.searched + at;
                line.clear();
                line.extend_from_slice(self.rest.get(..end).unwrap_or_default());
                self.rest.drain(..=end);
                self.searched = 0;
                return Ok(Some(end + 1));
            }
            self.searched = self.rest.len();
            if self.ended {
                let left = self.rest.len();
                if left == 0 {
                    return Ok(None);
                }
                line.clear();
                line.append(&mut self.rest);
                self.searched = 0;
                return Ok(Some(left));
            }
            if self.rest.len() > MAX_LINE {
                return Err(ViewerError::unreadable("A line is longer than 128 MiB"));
            }
            match self.pieces.next().await {
                Some(piece) => self.rest.extend_from_slice(&piece?),
                None => self.ended = true,
            }
        }
    }
}

/// The cells of a row, in the order of the file.
pub(super) struct Cells<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Cells<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Row<T> {
            type Value = Cells<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(Cells(cells))
            }
        }
        deserializer.deserialize_map(Row(std::marker::PhantomData))
    }
}

fn not_a_row(path: &str, row: u64, error: &serde_json::Error) -> ViewerError {
    ViewerError::unreadable(format!("{path}: row {row} is not a JSON object: {error}"))
}

impl Hub {
    /// Turns a Parquet file into lines, in a file without a name.
    async fn lines_of_parquet(
        self: &Arc<Self>,
        path: &str,
        oid: Oid,
        blob: &Blob,
    ) -> ViewerResult<(std::fs::File, u64)> {
        let folder = self.dirs.temp();
        let new = move || tempfile::tempfile_in(&folder);
        let mut copy = tokio::fs::File::from_std(new().map_err(lost)?);
        let mut pieces = bytes(self, oid, blob, 0..blob.real_size());
        while let Some(piece) = pieces.next().await {
            copy.write_all(&piece?).await.map_err(lost)?;
        }
        copy.flush().await.map_err(lost)?;
        let copy = copy.into_std().await;
        let made = tokio::task::spawn_blocking(move || {
            let mut out = new().map_err(|error| error.to_string())?;
            let size = super::parquet::lines(copy, &mut out)?;
            Ok::<_, String>((out, size))
        });
        let made = made.await.map_err(|_| stopped())?;
        made.map_err(|why| ViewerError::unreadable(format!("{path} cannot be read as Parquet: {why}")))
    }

    /// Reads a file of rows to its end, once; what was found is kept.
    pub(super) async fn table(
        self: &Arc<Self>,
        path: &str,
        oid: Oid,
        blob: &Blob,
    ) -> ViewerResult<Arc<Table>> {
        if let Some(table) = self.tables.get(&oid, |table| table.weight()) {
            return Ok(table);
        }
        let size = blob.real_size();
        let converted = if path.ends_with(".parquet") {
            Some(self.lines_of_parquet(path, oid, blob).await?)
        } else {
            None
        };
        let pieces = match &converted {
            Some((file, size)) => local(file, 0..*size)?.left_stream(),
            None => bytes(self, oid, blob, 0..size).right_stream(),
        };
        let mut lines = Lines::new(pieces);
        let (mut rows, mut place) = (0_u64, 0_u64);
        let mut offsets = Vec::new();
        let mut columns: Vec<(String, Column)> = Vec::new();
        let mut index: HashMap<String, usize> = HashMap::new();
        let mut line = Vec::new();
        while let Some(taken) = lines.next(&mut line).await? {
            let start = place;
            place += taken as u64;
            if line.trim_ascii().is_empty() {
                continue;
            }
            if rows.is_multiple_of(STRIDE) {
                offsets.push(start);
            }
            let row: Cells<Value> =
                serde_json::from_slice(&line).map_err(|error| not_a_row(path, rows, &error))?;
            for (name, value) in row.0 {
                let at = *index.entry(name).or_insert_with_key(|name| {
                    columns.push((name.clone(), Column::default()));
                    columns.len() - 1
                });
                if let Some((_, column)) = columns.get_mut(at) {
                    column.add(&value);
                }
            }
            rows += 1;
        }
        let table = Arc::new(Table {
            rows,
            bytes: size,
            lines: converted,
            offsets,
            columns,
        });
        self.tables.insert(oid, Arc::clone(&table), table.weight());
        Ok(table)
    }

    /// Reads some rows of a file.
    pub(super) async fn rows_of(
        self: &Arc<Self>,
        path: &str,
        oid: Oid,
        blob: &Blob,
        table: &Table,
        wanted: Range<u64>,
    ) -> ViewerResult<Vec<Cells<Box<RawValue>>>> {
        let stride = usize::try_from(wanted.start / STRIDE).unwrap_or(usize::MAX);
        let Some(from) = table.offsets.get(stride) else {
            return Ok(Vec::new());
        };
        let pieces = match &table.lines {
            Some((file, size)) => local(file, *from..*size)?.left_stream(),
            None => bytes(self, oid, blob, *from..table.bytes).right_stream(),
        };
        let mut lines = Lines::new(pieces);
        let mut at = wanted.start / STRIDE * STRIDE;
        let mut rows = Vec::new();
        let mut line = Vec::new();
        while at < wanted.end && lines.next(&mut line).await?.is_some() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            if at >= wanted.start {
                rows.push(serde_json::from_slice(&line).map_err(|error| not_a_row(path, at, &error))?);
            }
            at += 1;
        }
        Ok(rows)
    }

    /// Reads all rows of a file, one in memory at a time; `take` gets each with its number.
    pub(super) async fn each_row(
        self: &Arc<Self>,
        path: &str,
        oid: Oid,
        blob: &Blob,
        table: &Table,
        mut take: impl FnMut(u64, Value) + Send,
    ) -> ViewerResult<()> {
        let pieces = match &table.lines {
            Some((file, size)) => local(file, 0..*size)?.left_stream(),
            None => bytes(self, oid, blob, 0..table.bytes).right_stream(),
        };
        let mut lines = Lines::new(pieces);
        let mut line = Vec::new();
        let mut at = 0;
        while lines.next(&mut line).await?.is_some() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            take(
                at,
                serde_json::from_slice(&line).map_err(|error| not_a_row(path, at, &error))?,
            );
            at += 1;
        }
        Ok(())
    }
}
