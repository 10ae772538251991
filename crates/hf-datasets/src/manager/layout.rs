//! The layout of a training dataset: which files there must be, and what they say about the card.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hf_core::HfError;
use serde_json::Value;

use super::DatasetConfig;
use crate::card::{CardColumn, CardConfig, CardFact, CardSplit, DatasetCard, split_front_matter};
use crate::jsonl::{JsonlSummary, check_jsonl};
use crate::{invalid, io_error};

/// The file with the rows to train on.
pub const TRAIN_FILE: &str = "train.jsonl";
/// The file with the rows to validate on.
pub const VAL_FILE: &str = "val.jsonl";
/// The file that says how the rows were made.
pub const METADATA_FILE: &str = "metadata.json";
/// The dataset card.
pub const CARD_FILE: &str = "README.md";

/// `metadata.json` and `README.md` are read whole; a larger one is a mistake.
const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;

/// Finds and checks folders inside `folder` that hold `train.jsonl` and `val.jsonl` of another kind of rows.
fn further_configs(folder: &Path) -> Result<Vec<(String, PathBuf)>, HfError> {
    let entries = std::fs::read_dir(folder).map_err(|error| io_error("open", folder, error))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_error("open", folder, error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        }) else {
            continue;
        };
        let (train, val) = (entry.path().join(TRAIN_FILE), entry.path().join(VAL_FILE));
        if !train.is_file() || !val.is_file() {
            continue;
        }
        check_same_columns(&train, &check_jsonl(&train)?, &val, &check_jsonl(&val)?)?;
        found.push((format!("{name}/{TRAIN_FILE}"), train));
        found.push((format!("{name}/{VAL_FILE}"), val));
    }
    found.sort();
    Ok(found)
}

/// A folder that holds a training dataset, checked.
#[derive(Debug)]
pub(crate) struct TrainingFolder {
    pub(crate) train: PathBuf,
    pub(crate) val: PathBuf,
    pub(crate) metadata: PathBuf,
    pub(crate) train_rows: JsonlSummary,
    pub(crate) val_rows: JsonlSummary,
    /// Files of further configs, each below a folder of its own, with their paths in the repository.
    pub(crate) further: Vec<(String, PathBuf)>,
    facts: serde_json::Map<String, Value>,
    card: Option<String>,
}

impl TrainingFolder {
    /// Checks every file of `folder`. This call blocks.
    pub(crate) fn check(folder: &Path) -> Result<Self, HfError> {
        let metadata = std::fs::metadata(folder).map_err(|error| io_error("open", folder, error))?;
        if !metadata.is_dir() {
            return Err(invalid(format!(
                "{} is not a folder; give the folder that holds {TRAIN_FILE}, {VAL_FILE} and {METADATA_FILE}",
                folder.display()
            )));
        }
        let missing: Vec<&str> = [TRAIN_FILE, VAL_FILE, METADATA_FILE]
            .into_iter()
            .filter(|name| !folder.join(name).is_file())
            .collect();
        if !missing.is_empty() {
            return Err(invalid(format!(
                "{} lacks {}; build the dataset again (bashgym data build)",
                folder.display(),
                missing.join(" and ")
            )));
        }
        let train = folder.join(TRAIN_FILE);
        let val = folder.join(VAL_FILE);
        let metadata = folder.join(METADATA_FILE);
        let train_rows = check_jsonl(&train)?;
        if train_rows.rows == 0 {
            return Err(invalid(format!(
                "{} has no rows; there is nothing to train on",
                train.display()
            )));
        }
        let val_rows = check_jsonl(&val)?;
        check_same_columns(&train, &train_rows, &val, &val_rows)?;
        let further = further_configs(folder)?;
        let facts = match serde_json::from_str(&read_text(&metadata)?) {
            Ok(Value::Object(facts)) => facts,
            Ok(_) => return Err(invalid(format!("{} is not a JSON object", metadata.display()))),
            Err(error) => {
                return Err(invalid(format!(
                    "{} is not valid JSON: {error}",
                    metadata.display()
                )));
            }
        };
        let card_path = folder.join(CARD_FILE);
        let card = if card_path.exists() {
            let text = read_text(&card_path)?;
            check_card(&card_path, &text)?;
            Some(text)
        } else {
            None
        };
        Ok(Self {
            train,
            val,
            metadata,
            train_rows,
            val_rows,
            further,
            facts,
            card,
        })
    }

    /// Returns the card to upload: the folder's own, or one made from what the files say.
    pub(crate) fn card(&self, repo_id: &str, config: &DatasetConfig) -> Result<String, HfError> {
        match &self.card {
            Some(text) => super::facts::set(text, config),
            None => self.describe(repo_id, config).render(),
        }
    }

    /// `metadata.json` with one more fact.
    pub(crate) fn metadata_with(&self, name: &str, fact: Value) -> Result<String, HfError> {
        let mut facts = self.facts.clone();
        facts.insert(name.to_owned(), fact);
        let mut text = serde_json::to_string_pretty(&facts).map_err(|error| invalid(error.to_string()))?;
        text.push('\n');
        Ok(text)
    }

    fn describe(&self, repo_id: &str, config: &DatasetConfig) -> DatasetCard {
        let mut card = config.card(repo_id);
        if card.summary.is_empty() {
            "Training examples made from sessions of coding agents.".clone_into(&mut card.summary);
        }
        card.configs = vec![CardConfig {
            name: "default".to_owned(),
            splits: vec![
                CardSplit {
                    name: "train".to_owned(),
                    path: TRAIN_FILE.to_owned(),
                    rows: self.train_rows.rows,
                },
                CardSplit {
                    name: "validation".to_owned(),
                    path: VAL_FILE.to_owned(),
                    rows: self.val_rows.rows,
                },
            ],
        }];
        card.columns = self
            .train_rows
            .columns
            .iter()
            .map(|column| CardColumn {
                name: column.name.clone(),
                kind: column.kind.to_string(),
                missing: column.missing,
            })
            .collect();
        card.redactions = self
            .facts
            .get("redactions")
            .and_then(Value::as_object)
            .map(|kinds| {
                kinds
                    .iter()
                    .filter_map(|(kind, count)| Some((kind.clone(), count.as_u64()?)))
                    .collect::<BTreeMap<_, _>>()
            });
        card.lineage = self
            .facts
            .iter()
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some(CardFact::new(name, text)),
                Value::Number(number) => Some(CardFact::new(name, number)),
                Value::Bool(flag) => Some(CardFact::new(name, flag)),
                _ => None,
            })
            .collect();
        card
    }
}

/// Both splits are one table: a column has the same type in each.
fn check_same_columns(
    train: &Path,
    train_rows: &JsonlSummary,
    val: &Path,
    val_rows: &JsonlSummary,
) -> Result<(), HfError> {
    use crate::jsonl::ValueKind::Null;
    for column in &val_rows.columns {
        let Some(other) = train_rows.columns.iter().find(|other| other.name == column.name) else {
            return Err(invalid(format!(
                "{} has the column {:?}, which {} lacks; both must have the same columns",
                val.display(),
                column.name,
                train.display()
            )));
        };
        if column.kind != other.kind && column.kind != Null && other.kind != Null {
            return Err(invalid(format!(
                "the column {:?} holds a {} in {} but a {} in {}; give it one type",
                column.name,
                other.kind,
                train.display(),
                column.kind,
                val.display()
            )));
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, HfError> {
    let size = std::fs::metadata(path)
        .map_err(|error| io_error("look at", path, error))?
        .len();
    if size > MAX_TEXT_BYTES {
        return Err(invalid(format!(
            "{} is larger than {} MiB; it should be a short description",
            path.display(),
            MAX_TEXT_BYTES >> 20
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| io_error("read", path, error))?;
    String::from_utf8(bytes).map_err(|_| invalid(format!("{} is not valid UTF-8", path.display())))
}

/// Refuses a card whose front matter the Hub could not read.
fn check_card(path: &Path, text: &str) -> Result<(), HfError> {
    match split_front_matter(text) {
        Some((yaml, _)) => match serde_saphyr::from_str::<Value>(yaml) {
            Ok(Value::Object(_) | Value::Null) => Ok(()),
            Ok(_) => Err(invalid(format!(
                "the front matter of {} is not a YAML mapping",
                path.display()
            ))),
            Err(error) => Err(invalid(format!(
                "the front matter of {} is not valid YAML: {error}",
                path.display()
            ))),
        },
        None if text.trim_start().starts_with("---") => Err(invalid(format!(
            "the front matter of {} has no closing line of three dashes",
            path.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    const ROW: &str = "{\"messages\":[]}\n";

    #[test]
    fn folders_with_another_kind_of_rows_belong_to_the_dataset() {
        let folder = folder(&[(TRAIN_FILE, ROW), (VAL_FILE, ROW), (METADATA_FILE, "{}")]);
        for name in ["preference", ".bashgym-build-x", "notes"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["preference", ".bashgym-build-x"] {
            for file in [TRAIN_FILE, VAL_FILE] {
                std::fs::write(folder.path().join(name).join(file), "{\"prompt\":[]}\n").unwrap();
            }
        }
        let checked = TrainingFolder::check(folder.path()).unwrap();
        let paths: Vec<&str> = checked.further.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["preference/train.jsonl", "preference/val.jsonl"]);
        std::fs::write(folder.path().join("preference/val.jsonl"), "not json\n").unwrap();
        assert!(TrainingFolder::check(folder.path()).is_err());
    }

    #[test]
    fn a_folder_is_described_by_its_files() {
        let folder = folder(&[
            (TRAIN_FILE, ROW),
            (VAL_FILE, ROW),
            (
                METADATA_FILE,
                "{\"sessions\":4,\"seed\":7,\"redactions\":{\"email\":2}}",
            ),
        ]);
        let checked = TrainingFolder::check(folder.path()).unwrap();
        let config = DatasetConfig::new("demo");
        let text = checked.card("ada/demo", &config).unwrap();
        let (yaml, body) = split_front_matter(&text).unwrap();
        let front: Value = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(front["configs"][0]["data_files"][0]["path"], TRAIN_FILE);
        assert_eq!(front["configs"][0]["data_files"][1]["split"], "validation");
        assert_eq!(front["size_categories"][0], "n<1K");
        assert!(body.contains("| sessions | 4 |"), "{body}");
        assert!(body.contains("| email | 2 |"), "{body}");
        assert!(body.contains("| `messages` | list | 0 |"), "{body}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[(TRAIN_FILE, ROW)], "lacks val.jsonl and metadata.json"),
            (
                &[(TRAIN_FILE, ""), (VAL_FILE, ROW), (METADATA_FILE, "{}")],
                "train.jsonl has no rows",
            ),
            (
                &[(TRAIN_FILE, ROW), (VAL_FILE, "{\n"), (METADATA_FILE, "{}")],
                "val.jsonl, line 1",
            ),
            (
                &[(TRAIN_FILE, ROW), (VAL_FILE, ROW), (METADATA_FILE, "[]")],
                "metadata.json is not a JSON object",
            ),
            (
                &[(TRAIN_FILE, ROW), (VAL_FILE, ROW), (METADATA_FILE, "{")],
                "metadata.json is not valid JSON",
            ),
            (
                &[
                    (TRAIN_FILE, ROW),
                    (VAL_FILE, "{\"other\":1}\n"),
                    (METADATA_FILE, "{}"),
                ],
                "has the column \"other\"",
            ),
            (
                &[
                    (TRAIN_FILE, ROW),
                    (VAL_FILE, ROW),
                    (METADATA_FILE, "{}"),
                    (CARD_FILE, "---\na: [\n---\n"),
                ],
                "README.md is not valid YAML",
            ),
        ];
        for (files, expected) in cases {
            let folder = folder(files);
            let error = TrainingFolder::check(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        assert!(TrainingFolder::check(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn an_empty_validation_file_is_no_split() {
        let folder = folder(&[(TRAIN_FILE, ROW), (VAL_FILE, ""), (METADATA_FILE, "{}")]);
        let checked = TrainingFolder::check(folder.path()).unwrap();
        let text = checked.card("ada/demo", &DatasetConfig::new("demo")).unwrap();
        let front: Value = serde_saphyr::from_str(split_front_matter(&text).unwrap().0).unwrap();
        assert_eq!(front["configs"][0]["data_files"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn an_own_card_is_kept_and_its_viewer_hidden_on_request() {
        let own = "---\nlicense: mit\n---\n# Mine\n";
        let folder = folder(&[
            (TRAIN_FILE, ROW),
            (VAL_FILE, ROW),
            (METADATA_FILE, "{}"),
            (CARD_FILE, own),
        ]);
        let checked = TrainingFolder::check(folder.path()).unwrap();
        let config = DatasetConfig::new("demo");
        assert_eq!(checked.card("ada/demo", &config).unwrap(), own);
        let hidden = checked
            .card(
                "ada/demo",
                &DatasetConfig {
                    enable_viewer: false,
                    ..config
                },
            )
            .unwrap();
        assert_eq!(hidden, "---\nviewer: false\nlicense: mit\n---\n# Mine\n");
    }
}
