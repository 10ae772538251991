//! The tasks that are no chat: vectors, similarities, labels.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::engine::{EmbedTask, InferenceFailure, LoadedModel, ModelPlan, StopWatch};
use super::error::{Answer, Refusal};
use super::loaded::Watched;
use crate::reply::HubError;
use crate::repos::Commit;
use crate::state::Hub;

/// Texts of a request at most.
const MAX_TEXTS: usize = 1024;

/// One text, or many.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn list(self) -> Answer<Vec<String>> {
        let list = match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        };
        if list.is_empty() || list.len() > MAX_TEXTS {
            return Err(Refusal::invalid(
                "inputs",
                format!("inputs takes 1 to {MAX_TEXTS} texts"),
            ));
        }
        Ok(list)
    }
}

/// `POST .../pipeline/feature-extraction`
#[derive(Debug, Deserialize)]
pub(super) struct FeatureExtraction {
    inputs: Texts,
    #[serde(default)]
    normalize: Option<bool>,
    #[serde(default)]
    truncate: Option<bool>,
    #[serde(default)]
    truncation_direction: Option<String>,
    #[serde(default)]
    prompt_name: Option<String>,
    #[serde(default)]
    parameters: Option<Box<Value>>,
}

/// `POST .../pipeline/sentence-similarity`
#[derive(Debug, Deserialize)]
pub(super) struct SentenceSimilarity {
    inputs: Sentences,
}

#[derive(Debug, Deserialize)]
struct Sentences {
    source_sentence: String,
    sentences: Vec<String>,
}

/// `POST /hf-inference/models/{id}` for a classifier
#[derive(Debug, Deserialize)]
pub(super) struct TextClassification {
    inputs: Texts,
    #[serde(default)]
    parameters: Option<ClassifyParameters>,
}

#[derive(Debug, Default, Deserialize)]
struct ClassifyParameters {
    #[serde(default)]
    top_k: Option<usize>,
    #[serde(default)]
    function_to_apply: Option<String>,
}

/// Runs a model on a thread that may block.
async fn run<T: Send + 'static>(
    hub: &Arc<Hub>,
    commit: &Commit,
    plan: &Arc<ModelPlan>,
    work: impl FnOnce(&dyn LoadedModel, &StopWatch) -> Result<T, InferenceFailure> + Send + 'static,
) -> Answer<T> {
    let turn = hub.inference.turn().await?;
    let model = hub.inference.model(hub, commit, plan).await?;
    let watched = Watched::new(&hub.closing);
    let watch = watched.watch();
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&*model, &watch)
    });
    let result = done.await.map_err(|error| HubError::internal(&error))?;
    drop(watched);
    Ok(result?)
}

/// Gives a vector a text; one text gives a list of one, as sentence models answer.
pub(super) async fn features(
    hub: &Arc<Hub>,
    commit: &Commit,
    plan: &Arc<ModelPlan>,
    body: FeatureExtraction,
) -> Answer<Value> {
    if body.prompt_name.is_some() {
        return Err(Refusal::invalid(
            "prompt_name",
            "prompts by name are not served here: write the prompt into the text",
        ));
    }
    // Older clients send the options below `parameters`.
    let old = |name: &str| {
        body.parameters
            .as_ref()
            .and_then(|it| it.get(name))
            .and_then(Value::as_bool)
    };
    let task = EmbedTask {
        normalize: body.normalize.or_else(|| old("normalize")),
        truncate: body.truncate.or_else(|| old("truncate")),
        truncate_left: body
            .truncation_direction
            .as_deref()
            .is_some_and(|it| it.eq_ignore_ascii_case("left")),
        texts: body.inputs.list()?,
    };
    let vectors = run(hub, commit, plan, move |model, watch| model.embed(&task, watch)).await?;
    Ok(json!(vectors))
}

/// Gives the cosine of each sentence with the source.
pub(super) async fn similarities(
    hub: &Arc<Hub>,
    commit: &Commit,
    plan: &Arc<ModelPlan>,
    body: SentenceSimilarity,
) -> Answer<Value> {
    let mut texts = vec![body.inputs.source_sentence];
    texts.extend(Texts::Many(body.inputs.sentences).list()?);
    let task = EmbedTask {
        texts,
        normalize: Some(true),
        ..EmbedTask::default()
    };
    let vectors = run(hub, commit, plan, move |model, watch| model.embed(&task, watch)).await?;
    let Some((source, others)) = vectors.split_first() else {
        return Ok(json!([]));
    };
    let cosines: Vec<f32> = others
        .iter()
        .map(|other| source.iter().zip(other).map(|(a, b)| a * b).sum())
        .collect();
    Ok(json!(cosines))
}

/// Gives labels with their scores, the likeliest first; one list a text.
pub(super) async fn labels(
    hub: &Arc<Hub>,
    commit: &Commit,
    plan: &Arc<ModelPlan>,
    body: TextClassification,
) -> Answer<Value> {
    let parameters = body.parameters.unwrap_or_default();
    let apply = match parameters.function_to_apply.as_deref() {
        None | Some("softmax") => softmax,
        Some("sigmoid") => sigmoid,
        Some("none") => as_they_are,
        Some(_) => {
            return Err(Refusal::invalid(
                "function_to_apply",
                "function_to_apply is softmax, sigmoid or none",
            ));
        }
    };
    let texts = body.inputs.list()?;
    let scored = run(hub, commit, plan, move |model, watch| {
        model.classify(&texts, watch)
    })
    .await?;
    let lists: Vec<Vec<Value>> = scored
        .into_iter()
        .map(|mut labels| {
            let mut scores: Vec<f32> = labels.iter().map(|(_, score)| *score).collect();
            apply(&mut scores);
            for (label, score) in labels.iter_mut().zip(scores) {
                label.1 = score;
            }
            labels.sort_by(|a, b| b.1.total_cmp(&a.1));
            labels.truncate(parameters.top_k.unwrap_or(usize::MAX));
            labels
                .into_iter()
                .map(|(label, score)| json!({"label": label, "score": score}))
                .collect()
        })
        .collect();
    Ok(json!(lists))
}

fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
    }
    let sum: f32 = scores.iter().sum();
    for score in scores {
        *score /= sum;
    }
}

fn sigmoid(scores: &mut [f32]) {
    for score in scores {
        *score = 1.0 / (1.0 + (-*score).exp());
    }
}

fn as_they_are(_: &mut [f32]) {}
