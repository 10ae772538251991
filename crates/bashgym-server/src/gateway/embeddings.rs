//! Texts to vectors.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use base64::Engine;
use hf_inference::EmbedOptions;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::chat::{Told, tell};
use super::error::Failures;
use super::names::{self, Asked};
use crate::extract::Json;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// The most texts of one request.
///
/// # Source
/// `openai` 3.54.0 `resources/embeddings.py`: "any array must be 2048 dimensions or less".
const MOST_TEXTS: usize = 2048;

/// Texts to turn into vectors. Fields of the API that say nothing here are not read.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmbeddingRequest {
    /// `hf/` and a model.
    #[schema(example = "hf/BAAI/bge-large-en-v1.5")]
    model: String,
    /// A text, or up to 2048 of them.
    #[schema(value_type = Object)]
    input: Value,
    /// `float` or `base64`.
    encoding_format: Option<String>,
    /// Only what the model gives by itself.
    dimensions: Option<u64>,
}

fn invalid(why: &'static str) -> Problem {
    Problem::new(Code::Invalid, why)
}

fn texts(input: Value) -> Result<Vec<String>, Problem> {
    let texts = match input {
        Value::String(text) => vec![text],
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(invalid(
                    "input is text: tokens of another model's tokenizer mean nothing here",
                )),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(invalid("input is a text or a list of texts")),
    };
    if !(1..=MOST_TEXTS).contains(&texts.len()) {
        return Err(invalid("input is 1 to 2048 texts"));
    }
    if texts.iter().any(String::is_empty) {
        return Err(invalid("a text of input is empty"));
    }
    Ok(texts)
}

/// Little-endian floats, one after the other.
///
/// # Source
/// `openai` 3.54.0 `resources/embeddings.py`: `np.frombuffer(base64.b64decode(data), dtype="float32")`.
fn base64_of(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Turns texts into vectors, in their order. How many tokens they had is null where the provider does not say.
#[utoipa::path(post, path = "/v1/embeddings", tag = "gateway", request_body = EmbeddingRequest,
    responses((status = 200, body = Value), Failures))]
pub(crate) async fn create_embeddings(
    State(state): State<AppState>,
    Json(request): Json<EmbeddingRequest>,
) -> Result<Response, Problem> {
    let Asked::Hf(model) = names::read(&request.model)? else {
        return Err(names::not_found("this model writes text and gives no vectors")
            .hint("take hf/ and a model for feature-extraction"));
    };
    let as_base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(invalid("encoding_format is float or base64")),
    };
    let texts = texts(request.input)?;
    let backends = state.gateway.backends(&state).await?;
    let options = EmbedOptions {
        purpose: Some("gateway".to_owned()),
        ..EmbedOptions::default()
    };
    let answer = backends
        .desk()?
        .embed(&model, &texts, &options)
        .await
        .map_err(super::chat::failed)?;
    let length = answer.vectors.first().map_or(0, Vec::len) as u64;
    if request.dimensions.is_some_and(|wanted| wanted != length) {
        return Err(Problem::new(
            Code::Invalid,
            format!("this model gives vectors of {length} dimensions, and no others"),
        ));
    }
    let vector = |vector: &[f32]| {
        if as_base64 {
            Value::String(base64_of(vector))
        } else {
            json!(vector)
        }
    };
    let data: Vec<Value> = answer
        .vectors
        .iter()
        .enumerate()
        .map(|(index, floats)| json!({"object": "embedding", "index": index, "embedding": vector(floats)}))
        .collect();
    let usage = answer
        .report
        .usage
        .map(|usage| json!({"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}));
    let body = json!({"object": "list", "data": data, "model": request.model, "usage": usage});
    let mut response = axum::Json(body).into_response();
    tell(response.headers_mut(), &Told::of_call("hf", &answer.report));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_floats_in_the_order_the_kits_read() {
        assert_eq!(base64_of(&[1.0, -2.5]), "AACAPwAAIMA=");
    }

    #[test]
    fn tokens_and_nothing_are_refused() {
        assert_eq!(texts(json!("a")).ok().unwrap(), ["a"]);
        assert_eq!(texts(json!(["a", "b"])).ok().unwrap().len(), 2);
        for wrong in [
            json!([]),
            json!([1, 2]),
            json!([[1]]),
            json!([""]),
            json!(null),
            json!(5),
        ] {
            assert!(texts(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
