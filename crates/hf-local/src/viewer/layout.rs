//! Which files make up a dataset's configs and splits.

use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

/// A config and its splits, in the order of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigLayout {
    pub(super) name: String,
    pub(super) splits: Vec<SplitLayout>,
}

/// A split and the paths of its files, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SplitLayout {
    pub(super) name: String,
    pub(super) paths: Vec<String>,
}

/// Files the viewer can read.
const KINDS: [&str; 3] = [".jsonl", ".ndjson", ".parquet"];

/// Words in a file's name that name its split.
///
/// # Source
/// `datasets` 5.2 `data_files.py`, `SPLIT_KEYWORDS`.
const WORDS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// Reads the layout from the card's `configs`; without them, from the names of the files.
///
/// # Source
/// The Hub's data files configuration guide.
pub(super) fn configs(card: Option<&Value>, paths: &[String]) -> Vec<ConfigLayout> {
    let listed = card
        .and_then(|card| card.get("configs"))
        .and_then(Value::as_array);
    let Some(listed) = listed.filter(|configs| !configs.is_empty()) else {
        let splits = by_names(paths);
        return if splits.is_empty() {
            Vec::new()
        } else {
            vec![ConfigLayout {
                name: "default".to_owned(),
                splits,
            }]
        };
    };
    listed
        .iter()
        .filter_map(|config| {
            let name = config.get("config_name")?.as_str()?.to_owned();
            let base = config.get("data_dir").and_then(Value::as_str).unwrap_or_default();
            let splits = if let Some(files) = config.get("data_files") {
                by_card(files, base, paths)
            } else {
                let prefix = format!("{}/", base.trim_matches('/'));
                let below: Vec<String> = paths
                    .iter()
                    .filter(|path| base.is_empty() || path.starts_with(&prefix))
                    .cloned()
                    .collect();
                by_names(&below)
            };
            (!splits.is_empty()).then_some(ConfigLayout { name, splits })
        })
        .collect()
}

fn readable(path: &str) -> bool {
    KINDS.iter().any(|kind| path.ends_with(kind))
}

fn by_card(files: &Value, base: &str, paths: &[String]) -> Vec<SplitLayout> {
    let split = |name: &str, patterns: &Value| {
        let patterns: Vec<String> = match patterns {
            Value::String(pattern) => vec![pattern.clone()],
            Value::Array(list) => list
                .iter()
                .filter_map(|pattern| pattern.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        let mut found: Vec<String> = Vec::new();
        for pattern in patterns {
            let pattern = match base.trim_matches('/') {
                "" => pattern,
                base => format!("{base}/{pattern}"),
            };
            let pattern = pattern.trim_start_matches("./");
            let Some(matcher) = matcher(pattern) else {
                continue;
            };
            let mut fits: Vec<String> = paths
                .iter()
                .filter(|path| readable(path) && matcher.is_match(path))
                .cloned()
                .collect();
            fits.sort();
            found.extend(
                fits.into_iter()
                    .filter(|path| !found.contains(path))
                    .collect::<Vec<_>>(),
            );
        }
        SplitLayout {
            name: name.to_owned(),
            paths: found,
        }
    };
    let splits = match files {
        Value::Array(list) if list.iter().all(Value::is_object) => list
            .iter()
            .filter_map(|entry| Some(split(entry.get("split")?.as_str()?, entry.get("path")?)))
            .collect(),
        Value::Object(map) => map.iter().map(|(name, patterns)| split(name, patterns)).collect(),
        patterns => vec![split("train", patterns)],
    };
    splits
        .into_iter()
        .filter(|split: &SplitLayout| !split.paths.is_empty())
        .collect()
}

fn by_names(paths: &[String]) -> Vec<SplitLayout> {
    let files: Vec<&String> = paths.iter().filter(|path| readable(path)).collect();
    let mut splits: Vec<SplitLayout> = WORDS
        .iter()
        .filter_map(|(name, words)| {
            let mut paths: Vec<String> = files
                .iter()
                .filter(|path| words.iter().any(|word| has_word(path, word)))
                .map(|path| (*path).clone())
                .collect();
            paths.sort();
            (!paths.is_empty()).then(|| SplitLayout {
                name: (*name).to_owned(),
                paths,
            })
        })
        .collect();
    if splits.is_empty() && !files.is_empty() {
        let mut paths: Vec<String> = files.into_iter().cloned().collect();
        paths.sort();
        splits.push(SplitLayout {
            name: "train".to_owned(),
            paths,
        });
    }
    splits
}

/// Whether a word stands alone in a path: between separators, or at an end.
fn has_word(path: &str, word: &str) -> bool {
    path.split(['/', '.', '-', '_', ' '])
        .any(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()) == word)
}

/// Reads a pattern: `*` and `?` stay within a folder, `**` crosses folders.
fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(list: &[&str]) -> Vec<String> {
        list.iter().map(|path| (*path).to_owned()).collect()
    }

    fn shape(configs: &[ConfigLayout]) -> Value {
        json!(
            configs
                .iter()
                .map(|config| json!([
                    config.name,
                    config
                        .splits
                        .iter()
                        .map(|split| json!([split.name, split.paths]))
                        .collect::<Vec<_>>()
                ]))
                .collect::<Vec<_>>()
        )
    }

    #[test]
    fn the_card_says_which_files_are_which() {
        let files = paths(&[
            "train.jsonl",
            "val.jsonl",
            "data/train-0.jsonl",
            "data/train-1.jsonl",
            "README.md",
        ]);
        let card = json!({ "configs": [
            { "config_name": "default", "data_files": [
                { "split": "train", "path": "train.jsonl" }, { "split": "validation", "path": ["val.jsonl"] },
            ] },
            { "config_name": "parts", "data_dir": "data", "data_files": "train-*.jsonl" },
            { "config_name": "none", "data_files": "missing-*.jsonl" },
        ] });
        assert_eq!(
            shape(&configs(Some(&card), &files)),
            json!([
                [
                    "default",
                    [["train", ["train.jsonl"]], ["validation", ["val.jsonl"]]]
                ],
                ["parts", [["train", ["data/train-0.jsonl", "data/train-1.jsonl"]]]],
            ])
        );
    }

    #[test]
    fn without_a_card_the_names_say_it() {
        let files = paths(&[
            "data/train-00000.jsonl",
            "dev.jsonl",
            "x/test1.jsonl",
            "notes.txt",
        ]);
        assert_eq!(
            shape(&configs(None, &files)),
            json!([[
                "default",
                [
                    ["train", ["data/train-00000.jsonl"]],
                    ["validation", ["dev.jsonl"]],
                    ["test", ["x/test1.jsonl"]]
                ]
            ]])
        );
        assert_eq!(
            shape(&configs(None, &paths(&["b.jsonl", "a.jsonl"]))),
            json!([["default", [["train", ["a.jsonl", "b.jsonl"]]]]])
        );
        assert!(configs(None, &paths(&["README.md"])).is_empty());
    }

    #[test]
    fn patterns_stay_in_their_folder() {
        let fits = |pattern: &str, path: &str| matcher(pattern).is_some_and(|matcher| matcher.is_match(path));
        assert!(fits("data/*.jsonl", "data/a.jsonl"));
        assert!(!fits("data/*.jsonl", "data/a/b.jsonl"));
        assert!(fits("**/*.jsonl", "a/b/c.jsonl"));
        assert!(fits("**/*.jsonl", "c.jsonl"));
        assert!(fits("data/**", "data/a/b.jsonl"));
        assert!(fits("train-[0-9]?.jsonl", "train-12.jsonl"));
        assert!(!fits("train-[!0-9].jsonl", "train-1.jsonl"));
        assert!(!fits("[", "["));
        assert!(!fits("a", "ab"));
    }
}
