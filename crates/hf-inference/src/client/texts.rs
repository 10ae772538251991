//! Texts to numbers: embeddings, classification, similarity.

use std::collections::VecDeque;

use futures::stream::{self, StreamExt, TryStreamExt};
use hf_core::{HfError, encode_path};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::candidates::{Candidate, Candidates};
use super::{HfInferenceClient, SERVED_BY};
use crate::chat::WireUsage;
use crate::cost::Cost;
use crate::error::{InferenceError, Result};
use crate::model::ModelRef;
use crate::provider::{EmbeddingRoute, Provider};
use crate::report::CallReport;

/// How texts are embedded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbedOptions {
    /// Scale each vector to length 1, here, whatever the provider does.
    pub normalize: bool,
    /// The name of the prompt that the model puts before each text, where it has one.
    pub prompt_name: Option<String>,
    /// Whether texts that are too long are cut; by default the provider decides.
    pub truncate: Option<bool>,
    /// What the call is for, kept in its record.
    pub purpose: Option<String>,
}

/// Vectors, one for each text in the order of the texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// The vectors, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// All requests together, as one call.
    pub report: CallReport,
}

/// A label and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The label, in the model's word.
    pub label: String,
    /// 0 to 1.
    pub score: f64,
}

/// Labels, the surest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The labels.
    pub labels: Vec<Label>,
    /// The call.
    pub report: CallReport,
}

/// Similarities, one for each text in the order of the texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarities {
    /// Cosine similarities, as the model gives them.
    pub scores: Vec<f64>,
    /// The call.
    pub report: CallReport,
}

impl Similarities {
    /// The places of the texts, the most similar first; equal ones in their order.
    pub fn ranked(&self) -> Vec<usize> {
        let mut places: Vec<_> = (0..self.scores.len()).collect();
        places.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]));
        places
    }
}

impl HfInferenceClient {
    /// Turns texts into vectors: in batches, several at a time, in the order of the texts.
    ///
    /// # Errors
    /// [`InferenceError`]; [`InferenceError::NotServed`] when nobody embeds with the model. Either all texts are embedded, or
    /// none.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `InferenceClient.feature_extraction`.
    pub async fn embed(
        &self,
        model: &ModelRef,
        texts: &[String],
        options: &EmbedOptions,
    ) -> Result<Embeddings> {
        let routes = self.embedding_routes(model).await?;
        let config = &self.inner.config;
        // Made before they are polled: a closure inside the stream would tie the whole future to one borrow.
        let batches: Vec<_> = texts
            .chunks(config.batch_size)
            .map(|batch| self.embed_batch(model, batch, &routes, options))
            .collect();
        let parts: Vec<Embeddings> = stream::iter(batches)
            .buffered(config.concurrency)
            .try_collect()
            .await?;
        let mut all = Embeddings {
            vectors: Vec::with_capacity(texts.len()),
            report: merged(model, parts.iter().map(|part| &part.report)),
        };
        for part in parts {
            all.vectors.extend(part.vectors);
        }
        if let Some(first) = all.vectors.first().map(Vec::len)
            && all.vectors.iter().any(|vector| vector.len() != first)
        {
            return Err(unreadable("the vectors are not of one length"));
        }
        if options.normalize {
            all.vectors.iter_mut().for_each(|vector| normalize(vector));
        }
        Ok(all)
    }

    async fn embed_batch(
        &self,
        model: &ModelRef,
        texts: &[String],
        routes: &[(Provider, String, EmbeddingRoute)],
        options: &EmbedOptions,
    ) -> Result<Embeddings> {
        let candidates: Vec<_> = routes
            .iter()
            .map(|(provider, own_name, route)| {
                let (path, body) = embedding_request(route, own_name, texts, options);
                Ok(Candidate {
                    provider: Some(provider.clone()),
                    spec: self.post(path, &Value::Object(body))?,
                })
            })
            .collect::<Result<_>>()?;
        let mut call = self.begin(&model.id, "feature-extraction", options.purpose.clone());
        let wanted = texts.len();
        let answer = self
            .run(
                &mut call,
                Candidates::Listed(candidates),
                move |router, spec| async move {
                    let response = router.request(spec).await?;
                    let served = response.header(SERVED_BY).map(Provider::named);
                    let value: Value = response.json().await?;
                    Ok((vectors_of(value, wanted)?, served))
                },
            )
            .await;
        match answer {
            Ok((vectors, usage)) => Ok(Embeddings {
                vectors,
                report: call.finish(usage).await,
            }),
            Err(error) => Err(call.fail(error).await),
        }
    }

    /// Says which labels fit a text.
    ///
    /// # Errors
    /// [`InferenceError`]; [`InferenceError::NotServed`] when another provider than `hf-inference` is asked for.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `InferenceClient.text_classification`.
    pub async fn classify(&self, model: &ModelRef, text: &str, top_k: Option<u32>) -> Result<Classified> {
        let path = format!("/hf-inference/models/{}", encode_path(&model.id));
        let mut parameters = Map::new();
        if let Some(top_k) = top_k {
            parameters.insert("top_k".to_owned(), top_k.into());
        }
        let body = json!({"inputs": text, "parameters": parameters});
        let candidates = self.hf_inference(model, "text-classification", &path, &body)?;
        let mut call = self.begin(&model.id, "text-classification", None);
        let answer = self
            .run(&mut call, candidates, move |router, spec| async move {
                let labels: LabelAnswer = router.request(spec).await?.json().await?;
                Ok((labels.first(), None))
            })
            .await;
        match answer {
            Ok(mut labels) => {
                labels.sort_by(|a, b| b.score.total_cmp(&a.score));
                let report = call.finish(None).await;
                Ok(Classified { labels, report })
            }
            Err(error) => Err(call.fail(error).await),
        }
    }

    /// Says how similar texts are to one.
    ///
    /// # Errors
    /// As [`HfInferenceClient::classify`].
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `InferenceClient.sentence_similarity`. Hugging Face's router has no route for rerankers.
    pub async fn similarity(
        &self,
        model: &ModelRef,
        sentence: &str,
        others: &[String],
    ) -> Result<Similarities> {
        let path = format!(
            "/hf-inference/models/{}/pipeline/sentence-similarity",
            encode_path(&model.id)
        );
        let body = json!({"inputs": {"source_sentence": sentence, "sentences": others}, "parameters": {}});
        let candidates = self.hf_inference(model, "sentence-similarity", &path, &body)?;
        let mut call = self.begin(&model.id, "sentence-similarity", None);
        let wanted = others.len();
        let answer = self
            .run(&mut call, candidates, move |router, spec| async move {
                let scores: Vec<f64> = router.request(spec).await?.json().await?;
                if scores.len() != wanted {
                    return Err(HfError::decode(
                        "the similarities",
                        format!("{} came for {wanted} texts", scores.len()),
                    ));
                }
                Ok((scores, None))
            })
            .await;
        match answer {
            Ok(scores) => {
                let report = call.finish(None).await;
                Ok(Similarities { scores, report })
            }
            Err(error) => Err(call.fail(error).await),
        }
    }
}

fn unreadable(why: &str) -> InferenceError {
    HfError::decode("the embeddings", why).into()
}

fn embedding_request<'r>(
    route: &'r EmbeddingRoute,
    own_name: &str,
    texts: &[String],
    options: &EmbedOptions,
) -> (&'r str, Map<String, Value>) {
    match route {
        EmbeddingRoute::Pipeline(path) => {
            let mut body = Map::from_iter([("inputs".to_owned(), json!(texts))]);
            if let Some(name) = &options.prompt_name {
                body.insert("prompt_name".to_owned(), name.as_str().into());
            }
            if let Some(truncate) = options.truncate {
                body.insert("truncate".to_owned(), truncate.into());
            }
            (path, body)
        }
        EmbeddingRoute::OpenAi(path) => {
            let body = Map::from_iter([
                ("input".to_owned(), json!(texts)),
                ("model".to_owned(), own_name.into()),
            ]);
            (path, body)
        }
    }
}

#[derive(Deserialize)]
struct OpenAiEmbeddings {
    data: Vec<OpenAiEmbedding>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct OpenAiEmbedding {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// Reads vectors out of either form; they must be as many as the texts.
fn vectors_of(
    value: Value,
    wanted: usize,
) -> std::result::Result<(Vec<Vec<f32>>, Option<WireUsage>), HfError> {
    let wrong = |why: String| HfError::decode("the embeddings", why);
    let unread = |error: serde_json::Error| HfError::from_json("the embeddings", &error);
    let (vectors, usage) = if value.is_array() {
        if value.pointer("/0/0/0").is_some() {
            return Err(wrong(
                "a vector came for each token instead of each text; take a model made for sentences"
                    .to_owned(),
            ));
        }
        (
            serde_json::from_value::<Vec<Vec<f32>>>(value).map_err(unread)?,
            None,
        )
    } else {
        let mut answer: OpenAiEmbeddings = serde_json::from_value(value).map_err(unread)?;
        answer.data.sort_by_key(|item| item.index);
        let vectors = answer.data.into_iter().map(|item| item.embedding).collect();
        (vectors, WireUsage::of(&answer.extra))
    };
    if vectors.len() != wanted {
        return Err(wrong(format!("{} came for {wanted} texts", vectors.len())));
    }
    if vectors.iter().flatten().any(|value| !value.is_finite()) {
        return Err(wrong("they hold values that are no numbers".to_owned()));
    }
    Ok((vectors, usage))
}

fn normalize(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|value| f64::from(*value).powi(2))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        for value in vector {
            #[expect(clippy::cast_possible_truncation, reason = "it was as short before")]
            let scaled = (f64::from(*value) / length) as f32;
            *value = scaled;
        }
    }
}

/// The labels of one text come alone or as the only item of a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum LabelAnswer {
    Nested(Vec<Vec<Label>>),
    Flat(Vec<Label>),
}

impl LabelAnswer {
    fn first(self) -> Vec<Label> {
        match self {
            Self::Nested(lists) => lists.into_iter().next().unwrap_or_default(),
            Self::Flat(labels) => labels,
        }
    }
}

/// Several requests, told as one call. The cost is known only if each one's is.
fn merged<'a>(model: &ModelRef, reports: impl Iterator<Item = &'a CallReport>) -> CallReport {
    let mut all = CallReport {
        model: model.id.clone(),
        task: "feature-extraction".to_owned(),
        provider: None,
        attempts: Vec::new(),
        usage: None,
        cost: Cost::Unknown,
        millis: 0,
    };
    let mut costs = VecDeque::new();
    for report in reports {
        all.provider = report.provider.clone().or(all.provider);
        all.attempts.extend(report.attempts.iter().cloned());
        all.usage = match (all.usage, report.usage) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        all.millis = all.millis.max(report.millis);
        costs.push_back(report.cost);
    }
    all.cost = costs
        .into_iter()
        .reduce(|a, b| match (a, b) {
            (Cost::Reported(a), Cost::Reported(b)) => Cost::Reported(a + b),
            (a, b) => match (a.amount(), b.amount()) {
                (Some(a), Some(b)) => Cost::RoutePrice(a + b),
                _ => Cost::Unknown,
            },
        })
        .unwrap_or(Cost::Unknown);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Usage;

    #[test]
    fn vectors_are_read_in_each_form_and_counted() {
        let (pipeline, none) = vectors_of(json!([[1.0, 2.0], [3.0, 4.0]]), 2).unwrap();
        assert_eq!(pipeline, [[1.0, 2.0], [3.0, 4.0]]);
        assert!(none.is_none());
        let openai = json!({"data": [{"index": 1, "embedding": [3.0]}, {"index": 0, "embedding": [1.0]}],
            "usage": {"prompt_tokens": 7}});
        let (vectors, usage) = vectors_of(openai, 2).unwrap();
        assert_eq!(vectors, [[1.0], [3.0]], "by index, whatever the order");
        let expected = Usage {
            prompt_tokens: 7,
            completion_tokens: 0,
        };
        assert_eq!(usage.unwrap().usage, expected);
        for wrong in [
            json!([[1.0]]),
            json!([[[1.0]], [[1.0]]]),
            json!({"data": []}),
            json!("x"),
        ] {
            assert!(vectors_of(wrong.clone(), 2).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_vector_gets_length_one_and_nothing_stays_nothing() {
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert!(
            (vector[0] - 0.6).abs() < 1e-6 && (vector[1] - 0.8).abs() < 1e-6,
            "{vector:?}"
        );
        let mut nothing = [0.0, 0.0];
        normalize(&mut nothing);
        assert!(nothing.iter().all(|value| value.abs() < f32::EPSILON));
    }
}
