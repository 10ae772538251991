//! Raw session files, laid out so that the Hub shows them as traces.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use hf_core::HfError;
use serde_json::Value;

use super::DatasetConfig;
use crate::card::{CardConfig, CardFact, CardSplit, DatasetCard};
use crate::jsonl::MAX_LINE_BYTES;
use crate::{invalid, io_error};

/// The agent whose format a session file has.
///
/// # Source
///
/// The Hub's agent trace documentation, and the loader of the `datasets` package: the first line's `type` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Harness {
    ClaudeCode,
    Codex,
    Pi,
    /// The Hub's own simple format, for agents whose logs it does not know.
    Sts,
    Other,
}

impl Harness {
    fn folder(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude_code",
            Self::Codex => "codex",
            Self::Pi => "pi",
            Self::Sts => "sts",
            Self::Other => "other",
        }
    }

    fn of(record: &Value) -> Self {
        match record.get("type").and_then(Value::as_str).unwrap_or_default() {
            "session" if record.get("harness").is_some() => Self::Sts,
            "user" | "assistant" | "system" | "summary" | "file-history-snapshot" | "queue-operation" => {
                Self::ClaudeCode
            }
            "session_meta" | "response_item" | "event_msg" | "turn_context" => Self::Codex,
            "session" | "message" => Self::Pi,
            _ => Self::Other,
        }
    }
}

/// A session file and where it goes.
#[derive(Debug)]
pub(crate) struct TraceFile {
    pub(crate) source: PathBuf,
    pub(crate) path: String,
    harness: Harness,
}

/// Session files, checked and named. Building it blocks.
#[derive(Debug)]
pub(crate) struct TraceSet {
    pub(crate) files: Vec<TraceFile>,
}

impl TraceSet {
    /// Checks that every file is lines of JSON objects, and gives each a name of its own.
    pub(crate) fn check(files: &[PathBuf]) -> Result<Self, HfError> {
        if files.is_empty() {
            return Err(invalid("there are no session files to upload"));
        }
        let mut taken = HashSet::new();
        let mut named = Vec::with_capacity(files.len());
        for source in files {
            let harness = inspect(source)?;
            let stem = source.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| {
                invalid(format!(
                    "the name of {} is not valid Unicode; rename the file",
                    source.display()
                ))
            })?;
            let stem: String = stem
                .chars()
                .map(|c| {
                    if c.is_control() || matches!(c, '/' | '\\') {
                        '_'
                    } else {
                        c
                    }
                })
                .collect();
            let mut path = format!("traces/{}/{stem}.jsonl", harness.folder());
            let mut copy = 1;
            while !taken.insert(path.clone()) {
                copy += 1;
                path = format!("traces/{}/{stem}-{copy}.jsonl", harness.folder());
            }
            crate::path::check_repo_path(&path)?;
            named.push(TraceFile {
                source: source.clone(),
                path,
                harness,
            });
        }
        Ok(Self { files: named })
    }

    /// Describes the set: one config for each agent, because each has columns of its own.
    pub(crate) fn card(&self, repo_id: &str, config: &DatasetConfig) -> DatasetCard {
        let mut counts: BTreeMap<Harness, u64> = BTreeMap::new();
        for file in &self.files {
            *counts.entry(file.harness).or_default() += 1;
        }
        let mut card = config.card(repo_id);
        if card.summary.is_empty() {
            "Raw sessions of coding agents, one file a session.".clone_into(&mut card.summary);
        }
        if !card.tags.iter().any(|tag| tag == "agent-traces") {
            card.tags.push("agent-traces".to_owned());
        }
        card.configs = counts
            .iter()
            .map(|(harness, count)| CardConfig {
                name: harness.folder().to_owned(),
                splits: vec![CardSplit {
                    name: "train".to_owned(),
                    path: format!("traces/{}/*.jsonl", harness.folder()),
                    rows: *count,
                }],
            })
            .collect();
        card.lineage = counts
            .iter()
            .map(|(harness, count)| CardFact::new(format!("{} sessions", harness.folder()), count))
            .collect();
        card
    }
}

/// Reads a session file to the end; returns whose it is.
fn inspect(path: &Path) -> Result<Harness, HfError> {
    let file = std::fs::File::open(path).map_err(|error| io_error("open", path, error))?;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut harness = None;
    loop {
        line.clear();
        let read = (&mut reader)
            .take(MAX_LINE_BYTES + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| io_error("read", path, error))?;
        if read == 0 {
            break;
        }
        number += 1;
        let wrong = |problem: &str| invalid(format!("{}, line {number}: {problem}", path.display()));
        if read as u64 > MAX_LINE_BYTES {
            return Err(wrong("the line is too long"));
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        // Newer agents begin with records that tell nothing; the first that tells decides.
        if matches!(harness, None | Some(Harness::Other)) {
            let record: Value = serde_json::from_slice(text).map_err(|error| wrong(&error.to_string()))?;
            harness = Some(Harness::of(&record));
        } else {
            serde_json::from_slice::<serde::de::IgnoredAny>(text)
                .map_err(|error| wrong(&error.to_string()))?;
        }
        if text[0] != b'{' {
            return Err(wrong("every line must be a JSON object"));
        }
    }
    harness.ok_or_else(|| invalid(format!("{} is empty; there is no session in it", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_by_agent_and_keep_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            write("a/one.jsonl", "{\"type\":\"user\"}\n\n{\"type\":\"assistant\"}\n"),
            write("b/one.jsonl", "{\"type\":\"summary\"}\n"),
            write("rollout.jsonl", "{\"type\":\"session_meta\"}\n"),
            write("pi.jsonl", "{\"type\":\"session\"}"),
            write("x.jsonl", "{\"hello\":1}"),
            write(
                "sts.jsonl",
                "{\"type\":\"session\",\"harness\":\"gemini_cli\",\"id\":\"1\"}\n",
            ),
            write("late.jsonl", "{\"type\":\"mode\"}\n{\"type\":\"assistant\"}\n"),
        ];
        let set = TraceSet::check(&files).unwrap();
        let paths: Vec<&str> = set.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "traces/claude_code/one.jsonl",
                "traces/claude_code/one-2.jsonl",
                "traces/codex/rollout.jsonl",
                "traces/pi/pi.jsonl",
                "traces/other/x.jsonl",
                "traces/sts/sts.jsonl",
                "traces/claude_code/late.jsonl",
            ]
        );
        let card = set.card("ada/traces", &DatasetConfig::new("traces"));
        assert_eq!(card.configs[0].name, "claude_code");
        assert_eq!(card.configs[0].splits[0].rows, 3);
        assert!(card.tags.contains(&"agent-traces".to_owned()));
        card.render().unwrap();
    }

    #[test]
    fn broken_and_empty_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        for (text, expected) in [
            ("", "is empty"),
            ("{\"type\":\"user\"}\n{\"cut", "line 2"),
            ("[1]\n", "line 1: every line must be a JSON object"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = TraceSet::check(std::slice::from_ref(&path))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected) && error.contains("s.jsonl"), "{error}");
        }
        assert!(TraceSet::check(&[]).is_err());
    }
}
