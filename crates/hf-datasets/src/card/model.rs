//! The card of a model repository.

use std::fmt::Write as _;

use hf_core::HfError;
use serde::Serialize;

use super::{CardFact, fact_table, front_matter, one_line, prose, thousands};

/// What a trained student says about itself.
///
/// [`ModelCard::render`] turns it into a `README.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// The repository, `namespace/name`.
    pub repo_id: String,
    /// The title.
    pub title: String,
    /// A licence identifier of the Hub; left out when unknown.
    pub license: Option<String>,
    /// Language codes.
    pub languages: Vec<String>,
    /// Free tags.
    pub tags: Vec<String>,
    /// The model it was tuned from; `None` says that it was trained from scratch.
    pub base_model: Option<String>,
    /// The program that trained it, with its version.
    pub trained_by: String,
    /// The dataset repository it was trained on.
    pub dataset: Option<String>,
    /// The commit of that dataset.
    pub dataset_revision: Option<String>,
    /// How many parameters it has.
    pub parameters: Option<u64>,
    /// Mean validation loss before training, in nats a token.
    pub val_loss_before: Option<f64>,
    /// Mean validation loss after training, in nats a token.
    pub val_loss_after: Option<f64>,
    /// Further facts of the training: steps, seed, context length.
    pub training: Vec<CardFact>,
    /// What it is meant for.
    pub intended_use: String,
    /// What it is not good at.
    pub limits: Vec<String>,
}

impl Default for ModelCard {
    fn default() -> Self {
        Self {
            repo_id: String::new(),
            title: String::new(),
            license: None,
            languages: Vec::new(),
            tags: vec!["bashgym".to_owned()],
            base_model: None,
            trained_by: "bashgym-engine".to_owned(),
            dataset: None,
            dataset_revision: None,
            parameters: None,
            val_loss_before: None,
            val_loss_after: None,
            training: Vec::new(),
            intended_use:
                "Imitating the coding-agent sessions it was trained on, for study and as a first student \
                           of a training loop."
                    .to_owned(),
            limits: vec![
                "It was trained on the sessions of few people and repeats their habits.".to_owned(),
                "It may write commands that destroy data. Do not run what it writes without reading it."
                    .to_owned(),
                "It may repeat text of its training data.".to_owned(),
            ],
        }
    }
}

#[derive(Serialize)]
struct FrontMatter {
    library_name: &'static str,
    pipeline_tag: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    language: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_model: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    datasets: Vec<String>,
}

impl ModelCard {
    /// Renders the card as the text of a `README.md`.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when a name cannot be written as YAML.
    ///
    /// # Source
    ///
    /// The Hub's model card documentation: front matter keys.
    pub fn render(&self) -> Result<String, HfError> {
        let clean = |value: &Option<String>| value.as_deref().map(one_line).filter(|value| !value.is_empty());
        let lines = |values: &[String]| -> Vec<String> {
            values
                .iter()
                .map(|value| one_line(value))
                .filter(|value| !value.is_empty())
                .collect()
        };
        let mut out = front_matter(&FrontMatter {
            library_name: "transformers",
            pipeline_tag: "text-generation",
            license: clean(&self.license),
            language: lines(&self.languages),
            tags: lines(&self.tags),
            base_model: clean(&self.base_model),
            datasets: clean(&self.dataset).into_iter().collect(),
        })?;
        let title = if self.title.trim().is_empty() {
            &self.repo_id
        } else {
            &self.title
        };
        let _ = write!(out, "\n# {}\n\n", prose(title));
        match &self.base_model {
            Some(base) => {
                let _ = write!(
                    out,
                    "Tuned from {} by {}.\n\n",
                    prose(base),
                    prose(&self.trained_by)
                );
            }
            None => {
                let _ = write!(out, "Trained from scratch by {}.\n\n", prose(&self.trained_by));
            }
        }
        out.push_str("## Training\n\n");
        fact_table(&mut out, ["what", "value"], &self.facts());
        if let (Some(before), Some(after)) = (self.val_loss_before, self.val_loss_after) {
            let _ = write!(
                out,
                "Both losses were measured by the trainer on the same held-out sessions, the first with untrained \
                 weights. {}\n\n",
                if after < before {
                    "Lower is better."
                } else {
                    "The loss did not fall: this model learned nothing useful."
                }
            );
        }
        let _ = write!(out, "## What it is for\n\n{}\n\n", prose(&self.intended_use));
        if !self.limits.is_empty() {
            out.push_str("## Limits\n\n");
            for limit in &self.limits {
                let _ = writeln!(out, "- {}", prose(limit));
            }
        }
        Ok(out)
    }

    fn facts(&self) -> Vec<CardFact> {
        let mut facts = Vec::new();
        if let Some(dataset) = &self.dataset {
            let value = match &self.dataset_revision {
                Some(revision) => format!("{dataset} at {revision}"),
                None => dataset.clone(),
            };
            facts.push(CardFact::new("dataset", value));
        }
        if let Some(parameters) = self.parameters {
            facts.push(CardFact::new("parameters", thousands(parameters)));
        }
        if let Some(loss) = self.val_loss_before {
            facts.push(CardFact::new("validation loss before", format!("{loss:.4}")));
        }
        if let Some(loss) = self.val_loss_after {
            facts.push(CardFact::new("validation loss after", format!("{loss:.4}")));
        }
        facts.extend(self.training.iter().cloned());
        facts
    }
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
        library_name: String,
        pipeline_tag: String,
        license: Option<String>,
        #[serde(default)]
        language: Vec<String>,
        #[serde(default)]
        tags: Vec<String>,
        base_model: Option<String>,
        #[serde(default)]
        datasets: Vec<String>,
    }

    fn parse(text: &str) -> Parsed {
        let (yaml, _) = split_front_matter(text).expect("a card starts with front matter");
        serde_saphyr::from_str(yaml).expect("the front matter is YAML")
    }

    fn sample() -> ModelCard {
        ModelCard {
            repo_id: "ada/student".to_owned(),
            title: "Student".to_owned(),
            dataset: Some("ada/demo".to_owned()),
            dataset_revision: Some("0a1b2c".to_owned()),
            parameters: Some(1_500_000),
            val_loss_before: Some(7.25),
            val_loss_after: Some(3.5),
            ..ModelCard::default()
        }
    }

    #[test]
    fn a_card_reads_back() {
        let text = sample().render().unwrap();
        let parsed = parse(&text);
        assert_eq!(parsed.library_name, "transformers");
        assert_eq!(parsed.pipeline_tag, "text-generation");
        assert_eq!(parsed.license, None);
        assert!(parsed.language.is_empty());
        assert_eq!(parsed.tags, ["bashgym"]);
        assert_eq!(parsed.base_model, None);
        assert_eq!(parsed.datasets, ["ada/demo"]);
        assert!(text.contains("Trained from scratch by bashgym-engine."), "{text}");
        assert!(text.contains("| validation loss before | 7.2500 |"), "{text}");
        assert!(text.contains("| parameters | 1,500,000 |"), "{text}");
        assert!(text.contains("Lower is better."), "{text}");
    }

    #[test]
    fn a_loss_that_did_not_fall_is_said() {
        let card = ModelCard {
            val_loss_after: Some(7.5),
            ..sample()
        };
        assert!(card.render().unwrap().contains("learned nothing useful"));
    }

    proptest! {
        #[test]
        fn any_name_reads_back(name in any::<String>()) {
            let card = ModelCard { title: name.clone(), base_model: Some(name.clone()), tags: vec![name.clone()], ..sample() };
            let text = card.render().unwrap();
            let parsed = parse(&text);
            let line = one_line(&name);
            prop_assert_eq!(parsed.base_model.unwrap_or_default(), line);
            prop_assert_eq!(parsed.datasets, ["ada/demo"]);
        }
    }
}
