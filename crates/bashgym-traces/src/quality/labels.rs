//! What a person said about a session.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TracesError;

/// A person's word on a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// It did what it should.
    Good,
    /// It did not.
    Bad,
}

impl Label {
    /// Returns the word used on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

/// Labels by session id.
///
/// # Shape
///
/// The file is a line of JSON for each label: `{"session_id": "…", "label": "good" | "bad"}`. A later line for the same
/// session replaces an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels(BTreeMap<String, Label>);

#[derive(Serialize, Deserialize)]
struct Line {
    session_id: String,
    label: Label,
}

impl Labels {
    /// Reads a file of labels; one that is not there holds none.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when it cannot be read, [`TracesError::InvalidOption`] for a line that is no label.
    pub fn read(path: &Path) -> Result<Self, TracesError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(TracesError::io("reading", path, e)),
        };
        let mut all = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|_| TracesError::InvalidOption {
                option: "a line of the labels file",
                value: line.chars().take(80).collect(),
                expected: "{\"session_id\": \"ID\", \"label\": \"good\" or \"bad\"}",
            })?;
            all.insert(line.session_id, line.label);
        }
        Ok(Self(all))
    }

    /// Sets a session's label.
    pub fn set(&mut self, session_id: impl Into<String>, label: Label) {
        self.0.insert(session_id.into(), label);
    }

    /// Returns a session's label.
    pub fn get(&self, session_id: &str) -> Option<Label> {
        self.0.get(session_id).copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the content of a labels file.
    pub fn to_lines(&self) -> String {
        self.0
            .iter()
            .filter_map(|(session_id, &label)| {
                let line = Line {
                    session_id: session_id.clone(),
                    label,
                };
                serde_json::to_string(&line).ok().map(|line| line + "\n")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_back_and_the_last_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.jsonl");
        assert!(Labels::read(&path).unwrap().is_empty());
        let mut labels = Labels::default();
        labels.set("a", Label::Good);
        labels.set("b", Label::Bad);
        let more = format!(
            "{}\n{{\"session_id\":\"a\",\"label\":\"bad\"}}\n",
            labels.to_lines()
        );
        fs::write(&path, more).unwrap();
        let read = Labels::read(&path).unwrap();
        assert_eq!(
            (read.get("a"), read.get("b"), read.get("c")),
            (Some(Label::Bad), Some(Label::Bad), None)
        );
        fs::write(&path, "{\"session_id\":\"a\",\"label\":\"fine\"}\n").unwrap();
        assert!(Labels::read(&path).unwrap_err().to_string().contains("good"));
    }
}
