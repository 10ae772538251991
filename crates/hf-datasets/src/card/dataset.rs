//! The card of a dataset repository.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hf_core::HfError;
use serde::{Deserialize, Serialize};

use super::{CardFact, code, fact_table, front_matter, one_line, prose, thousands};

/// What a dataset repository says about itself.
///
/// [`DatasetCard::render`] turns it into a `README.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetCard {
    /// The repository, `namespace/name`; without it, the card has no loading example.
    pub repo_id: String,
    /// The title.
    pub pretty_name: String,
    /// One paragraph that says what the rows are.
    pub summary: String,
    /// A licence identifier of the Hub, such as `mit`; left out when unknown.
    pub license: Option<String>,
    /// Language codes, such as `en`.
    pub languages: Vec<String>,
    /// Tasks in the Hub's words, such as `text-generation`.
    pub task_categories: Vec<String>,
    /// Free tags.
    pub tags: Vec<String>,
    /// Whether the Hub may show the dataset viewer.
    pub viewer: bool,
    /// The configs and their splits, in the order shown.
    pub configs: Vec<CardConfig>,
    /// The columns of a row.
    pub columns: Vec<CardColumn>,
    /// The types of a config's columns, by config name. What reads the rows takes these types instead of guessing.
    pub features: BTreeMap<String, Vec<CardFeature>>,
    /// The address of the rows in Data Studio.
    pub data_studio_url: Option<String>,
    /// Where the rows come from: agents, sessions, tool versions, seeds.
    pub lineage: Vec<CardFact>,
    /// What the secret gate replaced, by kind; `None` says that no gate has run.
    pub redactions: Option<BTreeMap<String, u64>>,
}

impl Default for DatasetCard {
    fn default() -> Self {
        Self {
            repo_id: String::new(),
            pretty_name: String::new(),
            summary: String::new(),
            license: None,
            languages: Vec::new(),
            task_categories: vec!["text-generation".to_owned()],
            tags: vec!["bashgym".to_owned()],
            viewer: true,
            configs: Vec::new(),
            columns: Vec::new(),
            features: BTreeMap::new(),
            data_studio_url: None,
            lineage: Vec::new(),
            redactions: None,
        }
    }
}

/// A config of a dataset: a set of splits with the same columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardConfig {
    /// The config's name, such as `default`.
    pub name: String,
    /// The splits; one without rows is not offered to the viewer, which cannot open an empty file.
    pub splits: Vec<CardSplit>,
}

/// A split of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardSplit {
    /// The split's name, such as `train`.
    pub name: String,
    /// Its files: a path or a glob inside the repository.
    pub path: String,
    /// How many rows it has.
    pub rows: u64,
}

/// A column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardColumn {
    /// The column's name.
    pub name: String,
    /// What kind of value it holds, such as `list of messages`.
    pub kind: String,
    /// How many rows leave it out or set it to null.
    pub missing: u64,
}

/// The type of a column or of a part of one, as `dataset_info.features` writes it.
///
/// # Source
///
/// `datasets` 5.2 `features/features.py`, `Features._to_yaml_list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardFeature {
    /// The name.
    pub name: String,
    /// The type.
    #[serde(flatten)]
    pub kind: CardFeatureKind,
}

/// See [`CardFeature`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardFeatureKind {
    /// A plain type, such as `string` or `int64`; `json` for values of any shape.
    Dtype(String),
    /// A list of structs with these fields.
    List(Vec<CardFeature>),
    /// A struct with these fields.
    Struct(Vec<CardFeature>),
}

/// Returns the Hub's word for a number of rows.
///
/// The words are the Hub's own vocabulary: `n<1K`, `1K<n<10K` and so on up to `n>1T`. A number on a border
/// belongs to the larger size.
///
/// # Source
///
/// The Hub's dataset card specification (`size_categories`).
pub fn size_category(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        100_000_000..1_000_000_000 => "100M<n<1B",
        1_000_000_000..10_000_000_000 => "1B<n<10B",
        10_000_000_000..100_000_000_000 => "10B<n<100B",
        100_000_000_000..1_000_000_000_000 => "100B<n<1T",
        _ => "n>1T",
    }
}

#[derive(Serialize)]
struct FrontMatter<'a> {
    pretty_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    language: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    task_categories: Vec<String>,
    size_categories: [&'static str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    // The viewer is on unless the card says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    viewer: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    configs: Vec<FrontConfig<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_info: Vec<FrontInfo<'a>>,
}

#[derive(Serialize)]
struct FrontInfo<'a> {
    config_name: &'a str,
    features: &'a [CardFeature],
}

#[derive(Serialize)]
struct FrontConfig<'a> {
    config_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<bool>,
    data_files: Vec<FrontFile<'a>>,
}

#[derive(Serialize)]
struct FrontFile<'a> {
    split: &'a str,
    path: &'a str,
}

impl DatasetCard {
    /// Counts the rows of all splits.
    pub fn rows(&self) -> u64 {
        self.configs
            .iter()
            .flat_map(|config| &config.splits)
            .map(|split| split.rows)
            .sum()
    }

    /// Renders the card as the text of a `README.md`.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when a name cannot be written as YAML.
    ///
    /// # Source
    ///
    /// The Hub's dataset card documentation: front matter keys, and `configs` with `data_files` per split.
    pub fn render(&self) -> Result<String, HfError> {
        let mut out = front_matter(&self.front_matter())?;
        let title = if self.pretty_name.trim().is_empty() {
            &self.repo_id
        } else {
            &self.pretty_name
        };
        let _ = write!(out, "\n# {}\n\n", prose(title));
        if !self.summary.trim().is_empty() {
            let _ = write!(out, "{}\n\n", prose(&self.summary));
        }
        if let Some(url) = &self.data_studio_url {
            let _ = write!(out, "[Look at the rows in Data Studio]({})\n\n", address(url));
        }
        self.render_splits(&mut out);
        self.render_columns(&mut out);
        self.render_loading(&mut out);
        if !self.lineage.is_empty() {
            out.push_str("## Where it comes from\n\n");
            fact_table(&mut out, ["what", "value"], &self.lineage);
        }
        self.render_redactions(&mut out);
        Ok(out)
    }

    fn front_matter(&self) -> FrontMatter<'_> {
        let lines = |values: &[String]| -> Vec<String> {
            values
                .iter()
                .map(|value| one_line(value))
                .filter(|value| !value.is_empty())
                .collect()
        };
        let with_rows: Vec<(&CardConfig, Vec<FrontFile<'_>>)> = self
            .configs
            .iter()
            .map(|config| {
                let files = config
                    .splits
                    .iter()
                    .filter(|split| split.rows > 0)
                    .map(|split| FrontFile {
                        split: &split.name,
                        path: &split.path,
                    })
                    .collect();
                (config, files)
            })
            .collect();
        let configs = with_rows
            .into_iter()
            .filter(|(_, files)| !files.is_empty())
            .enumerate()
            .map(|(index, (config, data_files))| FrontConfig {
                config_name: &config.name,
                default: (index == 0).then_some(true),
                data_files,
            })
            .collect();
        let dataset_info = self
            .features
            .iter()
            .filter(|(_, features)| !features.is_empty())
            .map(|(config_name, features)| FrontInfo {
                config_name,
                features,
            })
            .collect();
        FrontMatter {
            pretty_name: one_line(&self.pretty_name),
            license: self
                .license
                .as_deref()
                .map(one_line)
                .filter(|license| !license.is_empty()),
            language: lines(&self.languages),
            task_categories: lines(&self.task_categories),
            size_categories: [size_category(self.rows())],
            tags: lines(&self.tags),
            viewer: (!self.viewer).then_some(false),
            configs,
            dataset_info,
        }
    }

    fn render_splits(&self, out: &mut String) {
        if self.configs.is_empty() {
            return;
        }
        out.push_str("## Rows\n\n| config | split | files | rows |\n| --- | --- | --- | ---: |\n");
        for config in &self.configs {
            for split in &config.splits {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} |",
                    code(&config.name),
                    code(&split.name),
                    code(&split.path),
                    thousands(split.rows)
                );
            }
        }
        out.push('\n');
    }

    fn render_columns(&self, out: &mut String) {
        if self.columns.is_empty() {
            return;
        }
        out.push_str("## Columns\n\n| column | holds | missing in |\n| --- | --- | ---: |\n");
        for column in &self.columns {
            let _ = writeln!(
                out,
                "| {} | {} | {} |",
                code(&column.name),
                prose(&column.kind),
                thousands(column.missing)
            );
        }
        out.push('\n');
    }

    fn render_loading(&self, out: &mut String) {
        // A card that is written before its repository has a name says nothing wrong about it.
        if self.repo_id.is_empty() {
            return;
        }
        let python = |text: &str| serde_json::Value::from(one_line(text)).to_string();
        let filled = self
            .configs
            .iter()
            .find(|config| config.splits.iter().any(|split| split.rows > 0));
        let Some(config) = filled else { return };
        let config_argument = if config.name == "default" {
            String::new()
        } else {
            format!(", {}", python(&config.name))
        };
        let _ = write!(
            out,
            "## Loading it\n\n```python\nfrom datasets import load_dataset\n\ndataset = load_dataset({}{config_argument})\n```\n\n",
            python(&self.repo_id)
        );
    }

    fn render_redactions(&self, out: &mut String) {
        out.push_str("## What was removed\n\n");
        match &self.redactions {
            None => out.push_str(
                "No secret scan has run on these rows. Do not make this repository public before one has.\n",
            ),
            Some(kinds) if kinds.is_empty() => {
                out.push_str("A secret scan ran and found nothing to replace. A scan finds known kinds of secret, not all.\n");
            }
            Some(kinds) => {
                let facts: Vec<CardFact> = kinds
                    .iter()
                    .map(|(kind, count)| CardFact::new(kind, thousands(*count)))
                    .collect();
                fact_table(out, ["kind", "replaced"], &facts);
                out.push_str("A scan finds known kinds of secret, not all.\n");
            }
        }
    }
}

/// Writes an address so that it stays within the parentheses of a link.
fn address(url: &str) -> String {
    one_line(url)
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '<' | '>'))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::card::split_front_matter;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parsed {
        pretty_name: String,
        license: Option<String>,
        #[serde(default)]
        language: Vec<String>,
        #[serde(default)]
        task_categories: Vec<String>,
        size_categories: Vec<String>,
        #[serde(default)]
        tags: Vec<String>,
        viewer: Option<bool>,
        #[serde(default)]
        configs: Vec<ParsedConfig>,
        #[serde(default)]
        dataset_info: Vec<ParsedInfo>,
    }

    #[derive(Debug, Deserialize)]
    struct ParsedInfo {
        config_name: String,
        features: Vec<CardFeature>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ParsedConfig {
        config_name: String,
        #[serde(default)]
        default: bool,
        data_files: Vec<ParsedFile>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ParsedFile {
        split: String,
        path: String,
    }

    fn parse(text: &str) -> Parsed {
        let (yaml, _) = split_front_matter(text).expect("a card starts with front matter");
        serde_saphyr::from_str(yaml).expect("the front matter is YAML")
    }

    fn sample() -> DatasetCard {
        DatasetCard {
            repo_id: "ada/demo".to_owned(),
            pretty_name: "Demo".to_owned(),
            summary: "Sessions of a coding agent.".to_owned(),
            license: Some("mit".to_owned()),
            languages: vec!["en".to_owned()],
            configs: vec![CardConfig {
                name: "default".to_owned(),
                splits: vec![
                    CardSplit {
                        name: "train".to_owned(),
                        path: "train.jsonl".to_owned(),
                        rows: 1_200,
                    },
                    CardSplit {
                        name: "validation".to_owned(),
                        path: "val.jsonl".to_owned(),
                        rows: 30,
                    },
                ],
            }],
            columns: vec![CardColumn {
                name: "messages".to_owned(),
                kind: "list".to_owned(),
                missing: 0,
            }],
            lineage: vec![CardFact::new("sessions", 12)],
            redactions: Some(BTreeMap::from([("hf_token".to_owned(), 3)])),
            ..DatasetCard::default()
        }
    }

    #[test]
    fn sizes_are_the_words_of_the_hub() {
        let words = [
            (0, "n<1K"),
            (999, "n<1K"),
            (1_000, "1K<n<10K"),
            (9_999, "1K<n<10K"),
            (10_000, "10K<n<100K"),
            (99_999, "10K<n<100K"),
            (100_000, "100K<n<1M"),
            (1_000_000, "1M<n<10M"),
            (10_000_000, "10M<n<100M"),
            (100_000_000, "100M<n<1B"),
            (1_000_000_000, "1B<n<10B"),
            (10_000_000_000, "10B<n<100B"),
            (100_000_000_000, "100B<n<1T"),
            (999_999_999_999, "100B<n<1T"),
            (1_000_000_000_000, "n>1T"),
            (u64::MAX, "n>1T"),
        ];
        for (rows, word) in words {
            assert_eq!(size_category(rows), word, "{rows} rows");
        }
    }

    #[test]
    fn a_card_reads_back() {
        let text = sample().render().unwrap();
        let parsed = parse(&text);
        assert_eq!(parsed.pretty_name, "Demo");
        assert_eq!(parsed.license.as_deref(), Some("mit"));
        assert_eq!(parsed.language, ["en"]);
        assert_eq!(parsed.task_categories, ["text-generation"]);
        assert_eq!(parsed.size_categories, ["1K<n<10K"]);
        assert_eq!(parsed.tags, ["bashgym"]);
        assert_eq!(parsed.viewer, None);
        assert_eq!(parsed.configs.len(), 1);
        assert!(parsed.configs[0].default);
        assert_eq!(parsed.configs[0].config_name, "default");
        assert_eq!(parsed.configs[0].data_files[1].split, "validation");
        assert_eq!(parsed.configs[0].data_files[1].path, "val.jsonl");
        assert!(text.contains("load_dataset(\"ada/demo\")"), "{text}");
        assert!(text.contains("| hf\\_token | 3 |"), "{text}");
        assert!(
            text.contains("| `default` | `train` | `train.jsonl` | 1,200 |"),
            "{text}"
        );
    }

    #[test]
    fn types_are_declared_for_each_config() {
        let text = CardFeatureKind::Dtype("string".to_owned());
        let role = CardFeature {
            name: "role: x".to_owned(),
            kind: text.clone(),
        };
        let features = vec![
            CardFeature {
                name: "messages".to_owned(),
                kind: CardFeatureKind::List(vec![role.clone()]),
            },
            CardFeature {
                name: "meta".to_owned(),
                kind: CardFeatureKind::Struct(vec![role]),
            },
        ];
        let mut card = sample();
        card.features.insert("default".to_owned(), features.clone());
        card.data_studio_url = Some("https://huggingface.co/datasets/ada/demo/viewer".to_owned());
        let rendered = card.render().unwrap();
        let parsed = parse(&rendered);
        assert_eq!(parsed.dataset_info[0].config_name, "default");
        assert_eq!(parsed.dataset_info[0].features, features);
        assert!(
            rendered.contains("(https://huggingface.co/datasets/ada/demo/viewer)"),
            "{rendered}"
        );
    }

    #[test]
    fn a_split_without_rows_is_not_offered_to_the_viewer() {
        let mut card = sample();
        card.configs[0].splits[1].rows = 0;
        let parsed = parse(&card.render().unwrap());
        assert_eq!(parsed.configs[0].data_files.len(), 1);
    }

    #[test]
    fn a_hidden_viewer_and_a_missing_scan_are_said() {
        let card = DatasetCard {
            viewer: false,
            redactions: None,
            license: None,
            ..sample()
        };
        let text = card.render().unwrap();
        assert_eq!(parse(&text).viewer, Some(false));
        assert!(text.contains("No secret scan has run"), "{text}");
    }

    #[test]
    fn names_cannot_break_out() {
        for hostile in [
            "a\n---\nviewer: false",
            "---",
            "no",
            "null",
            "~",
            "1e3",
            "'",
            "\"",
            "x: y",
            "# c",
            "&a",
            "*a",
            "!tag",
            "%d",
            "@at",
            "`",
            "{a: b}",
            "[",
            "- a",
            "\u{85}b",
            "\u{2028}---\u{2028}",
            "\r\n---\r\n",
            "2026-01-01",
            "0x1f",
            "<script>alert(1)</script>",
            "",
            " ",
        ] {
            let mut card = sample();
            card.pretty_name = hostile.to_owned();
            card.tags = vec![hostile.to_owned()];
            card.configs[0].name = hostile.to_owned();
            card.configs[0].splits[0].path = hostile.to_owned();
            card.columns[0].name = hostile.to_owned();
            let text = card.render().unwrap();
            let parsed = parse(&text);
            assert_eq!(parsed.pretty_name, one_line(hostile), "{hostile:?}");
            assert_eq!(parsed.configs[0].config_name, hostile, "{hostile:?}");
            assert_eq!(parsed.configs[0].data_files[0].path, hostile, "{hostile:?}");
            assert_eq!(parsed.viewer, None, "{hostile:?}");
            let (_, body) = split_front_matter(&text).unwrap();
            // Inside backticks and code blocks Markdown shows it as text.
            let shown = body
                .replace(&format!("`{hostile}`"), "")
                .replace(&format!("\"{hostile}\""), "");
            assert!(!shown.contains("<script>"), "{hostile:?}: {body}");
        }
    }

    proptest! {
        #[test]
        fn any_name_reads_back_unchanged(name in any::<String>(), path in any::<String>(), title in any::<String>()) {
            let mut card = sample();
            card.pretty_name = title.clone();
            card.configs[0].name.clone_from(&name);
            card.configs[0].splits[0].path.clone_from(&path);
            let text = card.render().unwrap();
            let parsed = parse(&text);
            prop_assert_eq!(parsed.pretty_name, one_line(&title));
            prop_assert_eq!(&parsed.configs[0].config_name, &name);
            prop_assert_eq!(&parsed.configs[0].data_files[0].path, &path);
            prop_assert_eq!(parsed.configs.len(), 1);
        }

        #[test]
        fn hostile_words_read_back(name in "[-:#'\"\\[\\]{}&*!|>%@`~, \n\r\t?a0\u{85}\u{2028}\u{feff}]{0,12}") {
            let mut card = sample();
            card.configs[0].name.clone_from(&name);
            card.tags = vec![name.clone()];
            let parsed = parse(&card.render().unwrap());
            prop_assert_eq!(&parsed.configs[0].config_name, &name);
            prop_assert_eq!(parsed.viewer, None);
        }
    }
}
