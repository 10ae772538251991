//! Whether rows hold items of an evaluation set, by shared runs of words.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::minhash::ngrams;
use crate::error::TracesError;

/// Words in a run; shorter items are compared as a whole.
const RUN: usize = 8;
/// The share of an item's runs that a row must hold to count as holding the item.
const SHARE: f64 = 0.5;

/// The items of evaluation sets that must not be trained on.
#[derive(Debug, Clone, Default)]
pub struct EvalSet {
    runs: HashMap<u64, Vec<u32>>,
    /// Runs of each item.
    items: Vec<u32>,
    sets: Vec<EvalSetReport>,
}

/// An evaluation set, as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvalSetReport {
    /// The file's name, without its folder.
    pub name: String,
    /// The BLAKE3 of the file's content, in hex.
    pub blake3: String,
    /// Items in it.
    pub items: u64,
}

impl EvalSet {
    /// Reads a file and adds its items.
    ///
    /// # Shape
    ///
    /// One item a line. A line that is JSON gives all strings in it (a chat row, a question with its answer, a plain
    /// string); any other line is the item.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when the file cannot be read.
    pub fn add_file(&mut self, path: &Path) -> Result<(), TracesError> {
        let io = |e| TracesError::io("reading", path, e);
        let mut reader = BufReader::new(File::open(path).map_err(io)?);
        let mut hasher = blake3::Hasher::new();
        let mut line = Vec::new();
        let before = self.items.len();
        while reader.read_until(b'\n', &mut line).map_err(io)? > 0 {
            hasher.update(&line);
            let text = String::from_utf8_lossy(&line);
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(value) => {
                    let mut all = String::new();
                    strings(&value, &mut all);
                    self.add_item(&all);
                }
                Err(_) => self.add_item(&text),
            }
            line.clear();
        }
        self.sets.push(EvalSetReport {
            name: path
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            blake3: hasher.finalize().to_hex().to_string(),
            items: (self.items.len() - before) as u64,
        });
        Ok(())
    }

    /// Adds one item; a text without a word is none.
    pub fn add_item(&mut self, text: &str) {
        let mut runs = Vec::new();
        ngrams::<RUN>(text, &mut runs);
        let Ok(item) = u32::try_from(self.items.len()) else {
            return;
        };
        if runs.is_empty() {
            return;
        }
        self.items.push(u32::try_from(runs.len()).unwrap_or(u32::MAX));
        for run in runs {
            self.runs.entry(run).or_default().push(item);
        }
    }

    /// Whether there is nothing to compare with.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the sets that were read.
    pub fn sets(&self) -> &[EvalSetReport] {
        &self.sets
    }

    /// Returns the item a text holds at least half of, if there is one.
    pub fn find(&self, text: &str) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let mut runs = Vec::new();
        ngrams::<RUN>(text, &mut runs);
        let mut shared: HashMap<u32, u32> = HashMap::new();
        for run in runs {
            for &item in self.runs.get(&run).into_iter().flatten() {
                *shared.entry(item).or_default() += 1;
            }
        }
        shared
            .into_iter()
            .filter(|&(item, count)| f64::from(count) >= f64::from(self.items[item as usize]) * SHARE)
            .map(|(item, _)| item as usize)
            .min()
    }
}

fn strings(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::String(text) => {
            out.push_str(text);
            out.push('\n');
        }
        serde_json::Value::Array(all) => all.iter().for_each(|v| strings(v, out)),
        serde_json::Value::Object(all) => all.values().for_each(|v| strings(v, out)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_inside_a_longer_text_and_only_there() {
        let item = "Write a function that returns the two numbers of a list that add up to a target value";
        let mut set = EvalSet::default();
        set.add_item("Some other question about the weather in a town far away from here");
        set.add_item(item);
        let inside = format!(
            "Here is my homework, please do it now.\n\n{}\n\nThanks",
            item.to_uppercase()
        );
        assert_eq!(set.find(&inside), Some(1));
        assert_eq!(set.find("Write a function that returns nothing at all"), None);
        assert_eq!(set.find(""), None);
    }

    #[test]
    fn files_of_json_and_of_plain_lines_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eval.jsonl");
        std::fs::write(
            &path,
            "{\"question\": \"what is the capital of the country of France\", \"n\": 1}\nplain words on a line of their own\n\n",
        )
        .unwrap();
        let mut set = EvalSet::default();
        set.add_file(&path).unwrap();
        assert_eq!(
            (set.sets()[0].items, set.sets()[0].name.as_str()),
            (2, "eval.jsonl")
        );
        assert_eq!(set.find("plain words on a line of their own"), Some(1));
        assert!(set.add_file(&dir.path().join("none")).is_err());
    }
}
