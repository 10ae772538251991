//! The rows between the stages: one file of rows, and one that says of each session what was made of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::BUFFER;
use crate::columns::RowKind;
use crate::error::TracesError;
use crate::examples::Losses;
use crate::examples::rows::{ScoredTask, SessionRows};
use crate::model::Trace;
use crate::report::bump;
use crate::split::Groups;

pub(super) const ROWS: &str = "rows.jsonl";
pub(super) const SESSIONS: &str = "sessions.jsonl";

/// What was made of one session; the rows follow each other in the file of rows in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SessionRecord {
    /// The hash of the redacted session and of the options; the same key gives the same rows.
    pub(super) key: String,
    pub(super) session_id: String,
    pub(super) related: Vec<String>,
    pub(super) agent: String,
    pub(super) model: String,
    pub(super) tasks: Vec<ScoredTask>,
    pub(super) rows: Vec<RowRecord>,
    pub(super) losses: Losses,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RowRecord {
    pub(super) kind: RowKind,
    pub(super) bytes: u64,
    pub(super) score: f64,
    pub(super) messages: u64,
    pub(super) tool_calls: u64,
    pub(super) prompt: u64,
    pub(super) truncated: bool,
}

impl SessionRecord {
    pub(super) fn new(key: String, trace: &Trace, made: &SessionRows) -> Self {
        Self {
            key,
            session_id: trace.session_id.clone(),
            related: trace
                .parent_session_id
                .iter()
                .chain(&trace.related_session_ids)
                .cloned()
                .collect(),
            agent: trace.agent.as_str().to_owned(),
            model: trace.model().unwrap_or("unknown").to_owned(),
            tasks: made.tasks.clone(),
            rows: made
                .rows
                .iter()
                .map(|row| RowRecord {
                    kind: row.kind,
                    bytes: row.json.len() as u64,
                    score: row.score,
                    messages: row.messages,
                    tool_calls: row.tool_calls,
                    prompt: row.prompt,
                    truncated: row.truncated,
                })
                .collect(),
            losses: made.losses,
        }
    }
}

/// Writes the two files.
#[derive(Debug)]
pub(super) struct StoreWriter {
    rows: BufWriter<File>,
    sessions: BufWriter<File>,
    dir: PathBuf,
}

impl StoreWriter {
    pub(super) fn create(dir: &Path) -> Result<Self, TracesError> {
        let open = |name: &str| {
            let path = dir.join(name);
            File::create(&path)
                .map(|file| BufWriter::with_capacity(BUFFER, file))
                .map_err(|e| TracesError::io("creating", path, e))
        };
        Ok(Self {
            rows: open(ROWS)?,
            sessions: open(SESSIONS)?,
            dir: dir.to_owned(),
        })
    }

    pub(super) fn add(&mut self, record: &SessionRecord, rows: &[&[u8]]) -> Result<(), TracesError> {
        let line = serde_json::to_string(record).map_err(TracesError::Encode)?;
        let mut write = || {
            for row in rows {
                self.rows.write_all(row)?;
                self.rows.write_all(b"\n")?;
            }
            self.sessions.write_all(line.as_bytes())?;
            self.sessions.write_all(b"\n")
        };
        write().map_err(|e| TracesError::io("writing", &self.dir, e))
    }

    pub(super) fn finish(mut self) -> Result<(), TracesError> {
        self.rows
            .flush()
            .and_then(|()| self.sessions.flush())
            .map_err(|e| TracesError::io("writing", &self.dir, e))
    }
}

/// One row in memory: where it is and what decides about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowInfo {
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) kind: RowKind,
    pub(super) score: f32,
    pub(super) node: u32,
    pub(super) session: u32,
    pub(super) messages: u32,
    pub(super) tool_calls: u32,
    pub(super) prompt: u64,
    pub(super) truncated: bool,
}

/// All rows of all sessions, some 60 bytes each; the rows themselves stay on disk.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) rows: Vec<RowInfo>,
    pub(super) groups: Groups,
    pub(super) losses: Losses,
    pub(super) sessions: u64,
    /// Tasks that were judged, by tenths of their score.
    pub(super) scores: BTreeMap<String, u64>,
    /// For each session: its agent and its model, as places in the two lists.
    origins: Vec<(u32, u32)>,
    names: Vec<String>,
    file: Mutex<File>,
    path: PathBuf,
}

impl Store {
    /// Reads what a [`StoreWriter`] wrote.
    pub(super) fn open(dir: &Path, min_score: f64) -> Result<Self, TracesError> {
        let path = dir.join(ROWS);
        let file = File::open(&path).map_err(|e| TracesError::io("reading", &path, e))?;
        let mut store = Self {
            rows: Vec::new(),
            groups: Groups::default(),
            losses: Losses::default(),
            sessions: 0,
            scores: BTreeMap::new(),
            origins: Vec::new(),
            names: Vec::new(),
            file: Mutex::new(file),
            path,
        };
        let mut offset = 0;
        read_sessions(dir, |record| {
            let node = store.groups.node(&record.session_id);
            for other in &record.related {
                let other = store.groups.node(other);
                store.groups.join(node, other);
            }
            let origin = (store.name(&record.agent), store.name(&record.model));
            store.origins.push(origin);
            store.losses.add(&record.losses);
            for task in &record.tasks {
                store.losses.tasks_below_score += u64::from(task.score.value < min_score);
                let tenth = (task.score.value * 10.0).floor().min(9.0) / 10.0;
                bump(&mut store.scores, &format!("{tenth:.1}"), 1);
            }
            let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
            for row in &record.rows {
                #[expect(clippy::cast_possible_truncation, reason = "a score of four digits")]
                store.rows.push(RowInfo {
                    offset,
                    bytes: small(row.bytes),
                    kind: row.kind,
                    score: row.score as f32,
                    node: small(node as u64),
                    session: small(store.sessions),
                    messages: small(row.messages),
                    tool_calls: small(row.tool_calls),
                    prompt: row.prompt,
                    truncated: row.truncated,
                });
                offset += row.bytes + 1;
            }
            store.sessions += 1;
            Ok(())
        })?;
        Ok(store)
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Returns the agent and the model behind a row.
    pub(super) fn origin(&self, row: &RowInfo) -> (&str, &str) {
        let name = |at: u32| self.names.get(at as usize).map_or("unknown", String::as_str);
        self.origins
            .get(row.session as usize)
            .map_or(("unknown", "unknown"), |&(agent, model)| {
                (name(agent), name(model))
            })
    }

    /// Reads one row.
    pub(super) fn read(&self, row: &RowInfo, into: &mut Vec<u8>) -> Result<(), TracesError> {
        into.resize(row.bytes as usize, 0);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(row.offset))
            .and_then(|_| file.read_exact(into))
            .map_err(|e| TracesError::io("reading", &self.path, e))
    }
}

/// Hands each record of a file of sessions to `take`.
pub(super) fn read_sessions(
    dir: &Path,
    mut take: impl FnMut(SessionRecord) -> Result<(), TracesError>,
) -> Result<(), TracesError> {
    let path = dir.join(SESSIONS);
    let io = |e| TracesError::io("reading", &path, e);
    let mut reader = BufReader::with_capacity(BUFFER, File::open(&path).map_err(io)?);
    let mut line = String::new();
    while reader.read_line(&mut line).map_err(io)? > 0 {
        take(serde_json::from_str(&line).map_err(|e| io(e.into()))?)?;
        line.clear();
    }
    Ok(())
}

/// Returns the part of a row that says what it teaches: all before the tools and the metadata.
pub(super) fn content(row: &[u8]) -> &[u8] {
    memchr::memmem::rfind(row, b",\"tools\":").map_or(row, |at| &row[..at])
}

/// Returns the words of a row: texts and arguments, without names and ids.
pub(super) fn words(row: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Row<'r> {
        #[serde(borrow, default, alias = "prompt")]
        messages: Vec<Message<'r>>,
        #[serde(borrow, default, alias = "chosen")]
        completion: Vec<Message<'r>>,
        #[serde(borrow, default)]
        rejected: Vec<Message<'r>>,
    }
    #[derive(Deserialize)]
    struct Message<'r> {
        #[serde(borrow)]
        content: Cow<'r, str>,
        #[serde(borrow, default)]
        tool_calls: Vec<Call<'r>>,
    }
    #[derive(Deserialize)]
    struct Call<'r> {
        #[serde(borrow)]
        function: Function<'r>,
    }
    #[derive(Deserialize)]
    struct Function<'r> {
        #[serde(borrow)]
        arguments: Cow<'r, str>,
    }
    let mut text = String::with_capacity(row.len());
    let Ok(row) = serde_json::from_slice::<Row<'_>>(row) else {
        return text;
    };
    for message in row.messages.iter().chain(&row.completion).chain(&row.rejected) {
        text.push_str(&message.content);
        text.push('\n');
        for call in &message.tool_calls {
            text.push_str(&call.function.arguments);
            text.push('\n');
        }
    }
    text
}
