//! The tree of JSON files: `session/<project>/<session>.json`, `message/<session>/*.json`, `part/<message>/*.json`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::assemble::{Assembler, Head};
use super::wire::{Info, Part, Session};
use crate::import::ImportOptions;
use crate::importers::FileOutcome;
use crate::importers::lines::repair;
use crate::incremental::stamp;
use crate::report::{ImportReport, Problem, ProblemKind};

/// Whether a file is the session file of a tree.
pub(crate) fn is_tree_session(path: &Path) -> bool {
    root_of(path).is_some()
}

fn root_of(path: &Path) -> Option<&Path> {
    let sessions = path.parent()?.parent()?;
    let root = sessions.parent()?;
    let named = sessions.file_name()? == "session" && path.extension()? == "json";
    (named && root.join("message").is_dir()).then_some(root)
}

struct Reading<'a> {
    options: &'a ImportOptions,
    outcome: FileOutcome,
    report: ImportReport,
}

impl Reading<'_> {
    fn problem(&mut self, file: &Path, kind: ProblemKind, reason: String) {
        self.report.problem(kind);
        if self.outcome.problems.len() < self.options.max_problems_per_file {
            self.outcome.problems.push(Problem {
                file: file.to_owned(),
                line: None,
                kind,
                reason,
            });
        } else {
            self.report.problems_not_listed += 1;
        }
    }

    /// Reads one small file; `None` when it is of no use, which is reported.
    fn json(&mut self, path: &Path) -> Option<String> {
        let limit = self.options.max_line_bytes;
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| {
            file.take((limit as u64).saturating_add(1))
                .read_to_end(&mut bytes)
        });
        if let Err(e) = read {
            self.problem(path, ProblemKind::Unreadable, format!("reading stopped: {e}"));
            return None;
        }
        self.outcome.bytes += bytes.len() as u64;
        self.report.lines += 1;
        if bytes.len() > limit {
            let reason = format!("the file has more than {limit} bytes, the limit");
            self.problem(path, ProblemKind::LineTooLong, reason);
            return None;
        }
        for kind in repair(&mut bytes).kinds() {
            self.problem(path, kind, "repaired; the file was kept".to_owned());
        }
        let text = String::from_utf8(bytes).ok()?;
        if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
            let reason = "not valid JSON; it was cut or is still being written".to_owned();
            self.problem(path, ProblemKind::BadJson, reason);
            return None;
        }
        Some(text)
    }

    /// The JSON files of a folder in the order of their names; a folder that is not there has none.
    fn files(&mut self, folder: &Path) -> Vec<PathBuf> {
        let listed = fs::read_dir(folder).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut files = match listed {
            Ok(files) => files,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(e) => {
                self.problem(folder, ProblemKind::Unreadable, format!("reading stopped: {e}"));
                return Vec::new();
            }
        };
        files.retain(|path| path.extension().is_some_and(|e| e == "json") && path.is_file());
        files.sort();
        files
    }

    /// The parts of a message: in a folder of its own, or in the oldest trees in one folder with all others.
    fn parts(&mut self, root: &Path, message: &str) -> Vec<String> {
        let parts = root.join("part");
        let own: Vec<PathBuf> = match file_name(message) {
            Some(name) => self.files(&parts.join(name)),
            None => Vec::new(),
        };
        if !own.is_empty() {
            return own.iter().filter_map(|path| self.json(path)).collect();
        }
        let flat = self.files(&parts);
        let mut found = Vec::new();
        for path in flat {
            // Only what belongs to this message counts as read.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let mine = serde_json::from_str::<Part<'_>>(&text)
                .is_ok_and(|part| part.message_id.as_str() == Some(message));
            if mine {
                found.extend(self.json(&path));
            }
        }
        found
    }
}

/// An id as the name of a file in a folder, and nothing else.
fn file_name(id: &str) -> Option<&str> {
    let plain = !id.is_empty() && id != "." && id != ".." && !id.contains(['/', '\\', '\0']);
    plain.then_some(id)
}

/// The files of a session's messages and parts.
pub(crate) fn tree_files(path: &Path) -> Vec<PathBuf> {
    let Some(root) = root_of(path) else {
        return Vec::new();
    };
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .collect();
        paths.sort();
        paths
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    let session: Session<'_> = serde_json::from_str(&text).unwrap_or_default();
    let messages = file_name(session.id.or_empty()).map(|id| root.join("message").join(id));
    let mut files = Vec::new();
    for message in messages.map(|folder| list(&folder)).unwrap_or_default() {
        let text = fs::read_to_string(&message).unwrap_or_default();
        let info: Info<'_> = serde_json::from_str(&text).unwrap_or_default();
        let parts = file_name(info.id.or_empty()).map(|id| root.join("part").join(id));
        files.push(message);
        files.extend(parts.map(|folder| list(&folder)).unwrap_or_default());
    }
    files
}

/// One number over what the file system says of all files of a session.
pub(crate) fn tree_stamp(path: &Path) -> io::Result<u64> {
    let mut facts = vec![stamp(&fs::metadata(path)?)];
    let files = tree_files(path);
    facts.extend(
        files
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|m| stamp(&m)),
    );
    let bytes: Vec<u8> = facts.iter().flat_map(|fact| fact.to_le_bytes()).collect();
    Ok(xxhash_rust::xxh3::xxh3_64(&bytes))
}

/// Reads the session whose file is `path`.
pub(crate) fn read_tree(path: &Path, options: &ImportOptions) -> FileOutcome {
    let Some(root) = root_of(path) else {
        return FileOutcome::unreadable(path, io::Error::other("not a session of OpenCode"));
    };
    let mut reading = Reading {
        options,
        outcome: FileOutcome::default(),
        report: ImportReport::default(),
    };
    let text = reading.json(path);
    let session: Option<Session<'_>> = text.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let mut traces = None;
    if let Some(session) = session {
        reading.report.understood("session");
        let id = session.id.or_empty().to_owned();
        let some = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
        let time = session.time.unwrap_or_default();
        let head = Head {
            id: id.clone(),
            parent_id: some(session.parent_id.as_str()),
            version: some(session.version.as_str()),
            directory: some(session.directory.as_str()),
            created: time.created,
            updated: time.updated,
            reverted_from: session.revert.and_then(|r| some(r.message_id.as_str())),
        };
        let mut assembler = Assembler::new(path, options, head);
        let folder = file_name(&id).map(|name| root.join("message").join(name));
        let mut messages = Vec::new();
        for file in folder.map(|folder| reading.files(&folder)).unwrap_or_default() {
            let Some(text) = reading.json(&file) else { continue };
            let Ok(info) = serde_json::from_str::<Info<'_>>(&text) else {
                let reason = "JSON, but not a message of OpenCode".to_owned();
                reading.problem(&file, ProblemKind::UnexpectedShape, reason);
                continue;
            };
            let created = info.time.and_then(|t| t.created.0).unwrap_or_default();
            messages.push((created, info.id.or_empty().to_owned(), text));
        }
        messages.sort();
        for (_, id, text) in messages {
            let parts = reading.parts(root, &id);
            let mut report = std::mem::take(&mut reading.report);
            assembler.message(&id, &text, &parts, &mut report);
            reading.report = report;
        }
        traces = assembler.finish(reading.report.clone());
    }
    let mut outcome = reading.outcome;
    match traces {
        Some(parsed) => outcome.traces.push(parsed),
        None if outcome.problems.is_empty() => {
            let reason = "no message in it".to_owned();
            outcome.fail(path, None, ProblemKind::EmptyFile, reason);
        }
        None => outcome.lost = reading.report.lost,
    }
    outcome
}
