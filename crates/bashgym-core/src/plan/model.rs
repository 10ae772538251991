//! The base model: what its repository says, and whether its files can be read.

use hf_core::{HfClient, HfErrorKind, RepoId, RepoType, Revision};
use hf_datasets::{DownloadOptions, RepoFiles};
use serde_json::Value;

use super::fit::ModelShape;
use super::{BaseModelFacts, Problem};
use crate::CoreError;

/// The files that say how a model is built and how conversations are put to it.
const FILES: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
];

pub(super) struct FoundBase {
    pub(super) facts: BaseModelFacts,
    pub(super) shape: Option<ModelShape>,
}

/// Looks at the base model and fetches its small files into `dir`.
pub(super) async fn find(
    client: &HfClient,
    name: &str,
    revision: Option<&str>,
    dir: &std::path::Path,
    problems: &mut Vec<Problem>,
) -> Result<FoundBase, CoreError> {
    let id: RepoId = name
        .parse()
        .map_err(CoreError::hub("take the base model's name"))?;
    let mut found = FoundBase {
        facts: BaseModelFacts {
            repo_id: name.to_owned(),
            ..BaseModelFacts::default()
        },
        shape: None,
    };
    let path = match revision {
        Some(revision) => format!("/api/models/{id}/revision/{revision}"),
        None => format!("/api/models/{id}"),
    };
    let info: Value = match client.get_json(&path, &[]).await {
        Ok(info) => info,
        Err(error) if matches!(error.kind(), HfErrorKind::NotFound | HfErrorKind::Auth) => {
            problems.push(Problem::new(
                "base_model_not_found",
                format!("there is no model {name} that this token may see"),
                "check the name; a private model needs a token that may read it",
            ));
            return Ok(found);
        }
        Err(error) => return Err(CoreError::hub("show the base model")(error)),
    };
    found.facts.revision = info.get("sha").and_then(Value::as_str).map(str::to_owned);
    // `false`, or how access is given: `auto`, `manual`.
    found.facts.gated = info
        .get("gated")
        .is_some_and(|gated| gated.as_bool() == Some(true) || gated.is_string());
    found.facts.parameters = info.pointer("/safetensors/total").and_then(Value::as_u64);

    let options = DownloadOptions {
        revision: match &found.facts.revision {
            Some(sha) => sha.parse().map_err(CoreError::hub("take the revision"))?,
            None => Revision::default(),
        },
        allow_patterns: FILES.map(str::to_owned).to_vec(),
        ..DownloadOptions::default()
    };
    let fetched = RepoFiles::new(client, RepoType::Model, id)
        .download_snapshot(dir, &options)
        .await;
    match fetched {
        Ok(_) => found.facts.readable = true,
        Err(error) if found.facts.gated && !error.is_transient() => {
            problems.push(Problem::new(
                "base_model_gated",
                format!("{name} is gated, and this account has not been let in"),
                format!(
                    "accept its terms at {}/{name} and wait until access is granted",
                    client.endpoint().to_string().trim_end_matches('/')
                ),
            ));
            return Ok(found);
        }
        Err(error) => return Err(CoreError::hub("send the base model's files")(error)),
    }
    let config: Option<Value> = std::fs::read(dir.join("config.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let Some(config) = config else {
        problems.push(Problem::new(
            "base_model_no_config",
            format!("{name} has no readable config.json"),
            "take a model in the form of transformers; GGUF files cannot be trained",
        ));
        return Ok(found);
    };
    found.shape = ModelShape::from_config(&config);
    if found.facts.parameters.is_none() {
        found.facts.parameters = found.shape.map(|shape| shape.parameters());
    }
    Ok(found)
}
