//! The SQLite store: tables `session`, `message` and `part`, with what the files of a tree hold in columns `data`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::assemble::{Assembler, Head};
use super::sqlite::{Database, MAGIC};
use super::wire::Revert;
use crate::import::ImportOptions;
use crate::importers::FileOutcome;
use crate::importers::content::millis;
use crate::importers::lenient::Int;
use crate::importers::lines::repair;
use crate::incremental::stamp;
use crate::report::{ImportReport, ProblemKind};

/// How often a store that changes under the reader is read anew.
const ATTEMPTS: usize = 3;

/// Whether a file is a SQLite database.
pub(crate) fn is_store(path: &Path) -> bool {
    let mut head = [0; MAGIC.len()];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok() && head == *MAGIC)
}

/// A session of a store.
pub(crate) struct StoredSession {
    pub(crate) id: String,
    pub(crate) created: Option<Timestamp>,
    /// A number that changes when the session may have.
    pub(crate) stamp: u64,
}

/// Lists the sessions of a store; none when it is another's database.
///
/// A session's own time of change makes its stamp; for the one that changed last also that of the files does, since a
/// part may be written before the session's row is.
pub(crate) fn sessions_in(path: &Path) -> io::Result<Vec<StoredSession>> {
    let database = Database::open(path)?;
    let mut sessions = Vec::new();
    if let (Some(table), Some(_)) = (database.table("session"), database.table("message")) {
        database.scan(table, &mut |row| {
            if let Some(id) = row.text("id") {
                let stamp = row.get("time_updated").int().unwrap_or_default().cast_unsigned();
                let created = millis(Int(row.get("time_created").int()));
                sessions.push(StoredSession { id, created, stamp });
            }
            ControlFlow::Continue(())
        })?;
    }
    if let Some(last) = sessions.iter_mut().max_by_key(|session| session.stamp) {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        for file in [path, Path::new(&log)] {
            let file = fs::metadata(file).map_or(0, |meta| stamp(&meta));
            last.stamp = last.stamp.rotate_left(21) ^ file;
        }
    }
    Ok(sessions)
}

/// Reads one session of a store, or all when none is named.
pub(crate) fn read_store(path: &Path, session: Option<&str>, options: &ImportOptions) -> FileOutcome {
    for attempt in 1.. {
        let before = state_of(path);
        let outcome = try_read(path, session, options);
        if state_of(path) == before || attempt == ATTEMPTS {
            return outcome.unwrap_or_else(|e| FileOutcome::unreadable(path, e));
        }
    }
    FileOutcome::default()
}

/// What changes when a checkpoint moves pages into the file.
fn state_of(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

fn try_read(path: &Path, session: Option<&str>, options: &ImportOptions) -> io::Result<FileOutcome> {
    let database = Database::open(path)?;
    let mut outcome = FileOutcome::default();
    let Some(table) = database.table("session") else {
        let reason = "a database, but not a store of OpenCode".to_owned();
        outcome.fail(path, None, ProblemKind::UnknownAgent, reason);
        return Ok(outcome);
    };
    let mut heads = Vec::new();
    database.scan(table, &mut |row| {
        let id = row.text("id").unwrap_or_default();
        if session.is_none_or(|wanted| wanted == id) {
            let revert = row.text("revert");
            let revert = revert
                .as_deref()
                .and_then(|json| serde_json::from_str::<Revert<'_>>(json).ok());
            heads.push(Head {
                id,
                parent_id: row.text("parent_id"),
                version: row.text("version"),
                directory: row.text("directory"),
                created: Int(row.get("time_created").int()),
                updated: Int(row.get("time_updated").int()),
                reverted_from: revert
                    .and_then(|r| r.message_id.as_str().map(str::to_owned))
                    .filter(|id| !id.is_empty()),
            });
        }
        ControlFlow::Continue(())
    })?;
    for head in heads {
        one(&database, path, head, options, &mut outcome)?;
    }
    if outcome.traces.is_empty() && outcome.problems.is_empty() {
        outcome.fail(path, None, ProblemKind::EmptyFile, "no message in it".to_owned());
    }
    Ok(outcome)
}

fn one(
    database: &Database,
    path: &Path,
    head: Head,
    options: &ImportOptions,
    outcome: &mut FileOutcome,
) -> io::Result<()> {
    let mut report = ImportReport::default();
    report.understood("session");
    report.lines = 1;
    let session = head.id.clone();
    let mut assembler = Assembler::new(path, options, head);
    let mut messages = Vec::new();
    let mut bytes = 0;
    if let Some(table) = database.table("message") {
        database.find(table, "session_id", &session, &mut |row| {
            let created = row.get("time_created").int().unwrap_or_default();
            let id = row.text("id").unwrap_or_default();
            let data = row.text("data").unwrap_or_default();
            messages.push((created, id, data));
        })?;
    }
    messages.sort();
    let had_messages = !messages.is_empty();
    for (_, id, data) in messages {
        let mut parts = BTreeMap::new();
        if let Some(table) = database.table("part") {
            database.find(table, "message_id", &id, &mut |row| {
                parts.insert(
                    row.text("id").unwrap_or_default(),
                    row.text("data").unwrap_or_default(),
                );
            })?;
        }
        report.lines += 1 + parts.len() as u64;
        bytes += data.len() + parts.values().map(String::len).sum::<usize>();
        let data = repaired(data, &mut report);
        let parts: Vec<String> = parts
            .into_values()
            .map(|part| repaired(part, &mut report))
            .collect();
        assembler.message(&id, &data, &parts, &mut report);
    }
    // The events of sessions written by a newer core: their form is not known yet.
    if !had_messages && let Some(table) = database.table("session_message") {
        database.find(table, "session_id", &session, &mut |row| {
            report.lines += 1;
            let kind = row.text("type").unwrap_or_default();
            report.unknown_record(&format!("session_message/{kind}"));
        })?;
    }
    outcome.bytes += bytes as u64;
    match assembler.finish(report.clone()) {
        Some(parsed) => outcome.traces.push(parsed),
        None => {
            for (kind, n) in report.lost {
                crate::report::bump(&mut outcome.lost, &kind, n);
            }
        }
    }
    Ok(())
}

/// Makes JSON whole that holds half a surrogate pair or bytes that are not UTF-8.
fn repaired(json: String, report: &mut ImportReport) -> String {
    let mut bytes = json.into_bytes();
    for kind in repair(&mut bytes).kinds() {
        report.problem(kind);
    }
    let text = String::from_utf8(bytes).unwrap_or_default();
    if serde_json::from_str::<&RawValue>(&text).is_err() {
        report.problem(ProblemKind::BadJson);
    }
    text
}
