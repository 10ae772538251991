//! What a repo says of itself: the front matter of its README and its config.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::refs::Commit;
use crate::git::Oid;
use crate::reply::HubResult;
use crate::repos::RepoKind;
use crate::state::Hub;

/// Longer READMEs are read up to here; the front matter comes first.
const MAX_FRONT_MATTER: usize = 1 << 20;

/// What is read out of the files of one commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The front matter.
    pub(crate) card: Option<Value>,
    pub(crate) tags: Vec<String>,
    pub(crate) library: Option<String>,
    pub(crate) pipeline: Option<String>,
    /// Parts of `config.json`.
    pub(crate) config: Option<Value>,
    /// The first lines of a dataset's README.
    pub(crate) description: Option<String>,
}

/// Cuts the front matter out of a README: the text between the two lines of three dashes, and what follows.
pub(crate) fn front_matter(readme: &str) -> Option<(&str, &str)> {
    let rest = readme.strip_prefix('\u{feff}').unwrap_or(readme);
    let rest = rest.strip_prefix("---")?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
    if let Some(body) = rest.strip_prefix("---") {
        return Some(("", body));
    }
    let end = rest.find("\n---")?;
    Some((rest.get(..end)?, rest.get(end + 4..)?))
}

/// Reads front matter.
///
/// # Errors
/// What is wrong with it, in the words of the YAML reader.
pub(crate) fn parse_front_matter(yaml: &str) -> Result<Value, String> {
    if yaml.trim().is_empty() {
        return Ok(json!({}));
    }
    let value: Value = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(json!({})),
        _ => Err("the metadata has to be a mapping (key: value)".to_owned()),
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// What a model is for, by its architecture, where its card does not say.
///
/// # Source
/// Hub documentation, "Widgets": the task is read off the configuration file where there is no `pipeline_tag`.
fn pipeline_of(config: &Map<String, Value>) -> Option<&'static str> {
    let architecture = config.get("architectures")?.get(0)?.as_str()?;
    [
        ("ForCausalLM", "text-generation"),
        ("ForSequenceClassification", "text-classification"),
        ("BertModel", "feature-extraction"),
    ]
    .into_iter()
    .find(|(end, _)| architecture.ends_with(end))
    .map(|(_, task)| task)
}

fn facts(kind: RepoKind, readme: Option<&str>, config: Option<&str>, names: &[&str]) -> Facts {
    let parts = readme.and_then(front_matter);
    let card = parts.and_then(|(yaml, _)| parse_front_matter(yaml).ok());
    let config = config.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    let empty = Map::new();
    let fields = card.as_ref().and_then(Value::as_object).unwrap_or(&empty);
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let has_model_type = config
        .as_ref()
        .is_some_and(|config| config.contains_key("model_type"));
    let library = text("library_name")
        .or_else(|| (kind == RepoKind::Model && has_model_type).then(|| "transformers".to_owned()));
    let is_encoder = kind == RepoKind::Model && names.contains(&"modules.json");
    let pipeline = text("pipeline_tag").or_else(|| match kind {
        RepoKind::Model if is_encoder => Some("sentence-similarity".to_owned()),
        RepoKind::Model => config.as_ref().and_then(pipeline_of).map(str::to_owned),
        _ => None,
    });
    let mut tags: Vec<String> = Vec::new();
    let mut add = |tag: String| {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    };
    match kind {
        RepoKind::Model => {
            library.clone().into_iter().for_each(&mut add);
            for (suffix, tag) in [
                (".safetensors", "safetensors"),
                (".gguf", "gguf"),
                (".onnx", "onnx"),
                ("pytorch_model.bin", "pytorch"),
            ] {
                if names.iter().any(|name| name.ends_with(suffix)) {
                    add(tag.to_owned());
                }
            }
            if let Some(model_type) = config
                .as_ref()
                .and_then(|config| config.get("model_type"))
                .and_then(Value::as_str)
            {
                add(model_type.to_owned());
            }
            pipeline.clone().into_iter().for_each(&mut add);
            if is_encoder {
                for tag in [
                    "sentence-transformers",
                    "feature-extraction",
                    "sentence-similarity",
                ] {
                    add(tag.to_owned());
                }
            }
            strings(fields.get("tags")).into_iter().for_each(&mut add);
            strings(fields.get("language")).into_iter().for_each(&mut add);
            for (key, prefix) in [("datasets", "dataset"), ("base_model", "base_model")] {
                strings(fields.get(key))
                    .iter()
                    .map(|value| format!("{prefix}:{value}"))
                    .for_each(&mut add);
            }
        }
        RepoKind::Dataset => {
            for key in ["task_categories", "task_ids", "language", "size_categories"] {
                strings(fields.get(key))
                    .iter()
                    .map(|value| format!("{key}:{value}"))
                    .for_each(&mut add);
            }
            strings(fields.get("tags")).into_iter().for_each(&mut add);
        }
        RepoKind::Space => {
            text("sdk").into_iter().for_each(&mut add);
            strings(fields.get("tags")).into_iter().for_each(&mut add);
        }
    }
    strings(fields.get("license"))
        .iter()
        .map(|value| format!("license:{value}"))
        .for_each(&mut add);
    add("region:us".to_owned());
    let description = match (kind, parts) {
        (RepoKind::Dataset, Some((_, body))) => Some(body),
        (RepoKind::Dataset, None) => readme,
        _ => None,
    }
    .map(|body| body.trim().chars().take(300).collect::<String>())
    .filter(|text| !text.is_empty());
    let config = config.map(|config| {
        let kept = ["architectures", "model_type", "tokenizer_config"];
        Value::Object(
            config
                .into_iter()
                .filter(|(key, _)| kept.contains(&key.as_str()))
                .collect(),
        )
    });
    Facts {
        card,
        tags,
        library,
        pipeline,
        config,
        description,
    }
}

impl Hub {
    /// Reads what the files of a commit say; kept for the next time.
    pub(crate) async fn facts(&self, kind: RepoKind, commit: &Commit) -> HubResult<Arc<Facts>> {
        let key: (RepoKind, Oid) = (kind, commit.tree);
        if let Some(facts) = self.facts.get(&key, |_| 1) {
            return Ok(facts);
        }
        let mut readme = self.text_file(commit.tree, "README.md").await?;
        if let Some(readme) = readme.as_mut().filter(|readme| readme.len() > MAX_FRONT_MATTER) {
            let end = readme.floor_char_boundary(MAX_FRONT_MATTER);
            readme.truncate(end);
        }
        let config = match kind {
            RepoKind::Model => self.text_file(commit.tree, "config.json").await?,
            RepoKind::Dataset | RepoKind::Space => None,
        };
        let tree = self.tree(commit.tree).await?;
        let names: Vec<&str> = tree.entries().iter().map(|entry| entry.name.as_str()).collect();
        let facts = Arc::new(facts(kind, readme.as_deref(), config.as_deref(), &names));
        self.facts.insert(key, Arc::clone(&facts), 1);
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_matter_is_between_the_first_two_rules() {
        assert_eq!(
            front_matter("---\na: 1\n---\n# x\n---\n"),
            Some(("a: 1", "\n# x\n---\n"))
        );
        assert_eq!(front_matter("---\n---\nx"), Some(("", "\nx")));
        assert_eq!(front_matter("---\r\na: 1\r\n---\r\n"), Some(("a: 1\r", "\r\n")));
        for none in ["", "# x", "--- a\n---", "---\na: 1\n"] {
            assert_eq!(front_matter(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_card_becomes_tags() {
        let readme = "---\nlicense: mit\nlanguage:\n- en\ntags: [agent-traces]\ntask_categories: [text-generation]\n---\nHello";
        let facts = facts(RepoKind::Dataset, Some(readme), None, &[]);
        let tags = [
            "task_categories:text-generation",
            "language:en",
            "agent-traces",
            "license:mit",
            "region:us",
        ];
        assert_eq!(facts.tags, tags);
        assert_eq!(facts.description.as_deref(), Some("Hello"));
        assert_eq!(facts.card.unwrap()["license"], "mit");
    }

    #[test]
    fn a_models_task_is_read_off_its_files_unless_its_card_says() {
        let config = |architecture: &str| json!({"architectures": [architecture]}).to_string();
        let task = |readme: Option<&str>, architecture: &str, names: &[&str]| {
            facts(RepoKind::Model, readme, Some(&config(architecture)), names).pipeline
        };
        assert_eq!(
            task(None, "LlamaForCausalLM", &[]).as_deref(),
            Some("text-generation")
        );
        let card = "---\npipeline_tag: summarization\n---\n";
        assert_eq!(
            task(Some(card), "LlamaForCausalLM", &[]).as_deref(),
            Some("summarization")
        );
        assert_eq!(
            task(None, "BertModel", &["modules.json"]).as_deref(),
            Some("sentence-similarity")
        );
        assert_eq!(task(None, "Whatever", &[]), None);
    }

    #[test]
    fn yaml_that_is_no_mapping_is_an_error() {
        assert!(parse_front_matter("- a\n- b").is_err());
        assert!(parse_front_matter("a: [1").is_err());
        assert_eq!(parse_front_matter("").unwrap(), json!({}));
    }
}
