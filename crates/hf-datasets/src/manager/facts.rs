//! Facts of an upload, written into a card that is there already.

use hf_core::HfError;
use serde::{Deserialize, Serialize};

use super::DatasetConfig;
use crate::card::{front_matter, split_front_matter};

/// What an upload may say about a dataset, as the Hub's front matter names it.
#[derive(Debug, Default, Serialize)]
struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pretty_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    language: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    viewer: Option<bool>,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Vec<String>,
}

/// Sets what the config says in a card's front matter, and leaves the rest of it as it is. Tags are added to those there.
///
/// # Errors
///
/// [`HfError::InvalidArgument`] when the front matter cannot be written or its tags cannot be read.
pub(super) fn set(text: &str, config: &DatasetConfig) -> Result<String, HfError> {
    let (yaml, body) = split_front_matter(text).unwrap_or(("", text));
    let mut facts = Facts {
        pretty_name: config.pretty_name.clone(),
        license: config.license.clone(),
        language: config.languages.clone(),
        tags: Vec::new(),
        viewer: (!config.enable_viewer && !has(yaml, "viewer")).then_some(false),
    };
    if !config.tags.is_empty() {
        let there: Tags = serde_saphyr::from_str(if yaml.trim().is_empty() { "{}" } else { yaml })
            .map_err(|error| crate::invalid(format!("the tags of README.md cannot be read: {error}")))?;
        facts.tags = there.tags;
        for tag in &config.tags {
            if !facts.tags.contains(tag) {
                facts.tags.push(tag.clone());
            }
        }
    }
    let new = serde_json::to_value(&facts).map_err(|error| crate::invalid(error.to_string()))?;
    let names: Vec<&str> = new
        .as_object()
        .map(|keys| keys.keys().map(String::as_str).collect())
        .unwrap_or_default();
    if names.is_empty() {
        return Ok(text.to_owned());
    }
    let written = front_matter(&facts)?;
    let (written, _) = split_front_matter(&written).unwrap_or_default();
    Ok(format!("---\n{written}{}---\n{body}", without(yaml, &names)))
}

fn has(yaml: &str, name: &str) -> bool {
    yaml.lines().any(|line| is_key(line, name))
}

fn is_key(line: &str, name: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.trim_start().starts_with(':'))
}

/// Leaves out keys of the first level, with all that belongs to them.
fn without(yaml: &str, names: &[&str]) -> String {
    let mut kept = String::new();
    let mut skipping = false;
    for line in yaml.split_inclusive('\n') {
        let deeper = line.starts_with([' ', '\t', '-']) || line.trim().is_empty();
        if !deeper {
            skipping = names.iter().any(|name| is_key(line, name));
        }
        if !skipping {
            kept.push_str(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "---\npretty_name: Old\nlicense: other\ntags:\n- bashgym\n- x\nconfigs:\n- config_name: default\n---\n# Title\n";

    #[test]
    fn facts_replace_those_there_and_leave_the_rest() {
        let mut config = DatasetConfig::new("rows");
        assert_eq!(set(CARD, &config).unwrap(), CARD);
        config.license = Some("mit".to_owned());
        config.tags = vec!["x".to_owned(), "rust: yes".to_owned()];
        config.languages = vec!["en".to_owned()];
        let card = set(CARD, &config).unwrap();
        let (yaml, body) = split_front_matter(&card).unwrap();
        let value: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(value["license"], "mit");
        assert_eq!(value["pretty_name"], "Old");
        assert_eq!(value["tags"], serde_json::json!(["bashgym", "x", "rust: yes"]));
        assert_eq!(value["language"], serde_json::json!(["en"]));
        assert_eq!(value["configs"][0]["config_name"], "default");
        assert_eq!(body, "# Title\n");
        assert_eq!(set(&card, &config).unwrap(), card);
    }

    #[test]
    fn a_card_without_front_matter_gets_one() {
        let config = DatasetConfig {
            enable_viewer: false,
            license: Some("cc-by-4.0".to_owned()),
            ..DatasetConfig::new("rows")
        };
        let card = set("# Title\n", &config).unwrap();
        assert!(
            card.starts_with("---\n") && card.ends_with("---\n# Title\n"),
            "{card}"
        );
        assert!(
            card.contains("viewer: false") && card.contains("license: cc-by-4.0"),
            "{card}"
        );
        let spoken = "---\nviewer: true\n---\n";
        assert!(!set(spoken, &config).unwrap().contains("viewer: false"));
    }
}
