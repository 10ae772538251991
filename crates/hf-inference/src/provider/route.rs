//! Where a provider takes which kind of request, below the router's own address.

use hf_core::encode_path;
use serde_json::{Map, Value};

use super::Provider;

/// How a provider is asked to chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChatRoute {
    /// The path on the router.
    pub(crate) path: String,
    /// Headers this provider wants beside the usual ones.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// How it takes a JSON schema.
    pub(crate) schema: SchemaForm,
}

/// How a JSON schema is written into `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemaForm {
    /// As `OpenAI` does.
    AsIs,
    /// The schema alone, under this key of a format of this type.
    Bare {
        /// The format's `type`.
        kind: &'static str,
        /// The schema's key.
        key: &'static str,
    },
}

impl SchemaForm {
    const OBJECT_SCHEMA: Self = Self::Bare {
        kind: "json_object",
        key: "schema",
    };
    const OBJECT_VALUE: Self = Self::Bare {
        kind: "json_object",
        key: "value",
    };
    const SCHEMA_SCHEMA: Self = Self::Bare {
        kind: "json_schema",
        key: "schema",
    };

    /// Rewrites a request's `response_format` for this provider.
    pub(crate) fn apply(self, format: &mut Value) {
        let Self::Bare { kind, key } = self else {
            return;
        };
        if format.get("type").and_then(Value::as_str) != Some("json_schema") {
            return;
        }
        if let Some(schema) = format.pointer_mut("/json_schema/schema").map(Value::take) {
            *format = Value::Object(Map::from_iter([
                ("type".to_owned(), Value::from(kind)),
                (key.to_owned(), schema),
            ]));
        }
    }
}

/// Where `provider` takes chats with its model `provider_model`; none if it does not chat.
///
/// # Source
/// `huggingface_hub` 2.4.0 `inference/_providers/*.py`, `_prepare_route` of each conversational task.
pub(crate) fn chat_route(provider: &Provider, provider_model: &str) -> Option<ChatRoute> {
    let id = provider.as_str();
    let mut route = ChatRoute {
        path: format!("/{id}/v1/chat/completions"),
        headers: &[],
        schema: SchemaForm::AsIs,
    };
    match id {
        // `openai` is not here: the official client refuses to reach it through the router.
        "baseten" | "cerebras" | "featherless-ai" | "nscale" | "ovhcloud" | "publicai" | "scaleway" => {}
        "together" => route.schema = SchemaForm::SCHEMA_SCHEMA,
        "cohere" => {
            route.path = format!("/{id}/compatibility/v1/chat/completions");
            route.schema = SchemaForm::OBJECT_SCHEMA;
        }
        "deepinfra" => route.path = format!("/{id}/v1/openai/chat/completions"),
        "fireworks-ai" => {
            route.path = format!("/{id}/inference/v1/chat/completions");
            route.schema = SchemaForm::OBJECT_SCHEMA;
        }
        "groq" => route.path = format!("/{id}/openai/v1/chat/completions"),
        "hf-inference" => {
            route.path = format!("/{id}/models/{}/v1/chat/completions", encode_path(provider_model));
            route.schema = SchemaForm::OBJECT_VALUE;
        }
        "novita" => route.path = format!("/{id}/v3/openai/chat/completions"),
        "zai-org" => {
            route.path = format!("/{id}/api/paas/v4/chat/completions");
            route.headers = &[
                ("accept-language", "en-US,en"),
                ("x-source-channel", "hugging_face"),
            ];
        }
        _ => return None,
    }
    Some(route)
}

/// How a provider is asked to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EmbeddingRoute {
    /// `{"inputs":[…]}`, answered with a list of vectors.
    Pipeline(String),
    /// `{"input":[…],"model":…}`, answered as `OpenAI` does.
    OpenAi(String),
}

/// Where `provider` embeds texts with its model `provider_model`; none if it does not.
///
/// # Source
/// `huggingface_hub` 2.4.0 `inference/_providers/{hf_inference,deepinfra,scaleway,together}.py`.
pub(crate) fn embedding_route(provider: &Provider, provider_model: &str) -> Option<EmbeddingRoute> {
    let id = provider.as_str();
    Some(match id {
        "hf-inference" => EmbeddingRoute::Pipeline(format!(
            "/{id}/models/{}/pipeline/feature-extraction",
            encode_path(provider_model)
        )),
        "deepinfra" => EmbeddingRoute::OpenAi(format!("/{id}/v1/openai/embeddings")),
        "scaleway" | "together" => EmbeddingRoute::OpenAi(format!("/{id}/v1/embeddings")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_those_that_chat_have_a_route() {
        let silent: Vec<_> = Provider::known()
            .filter(|provider| chat_route(provider, "m").is_none())
            .map(|provider| provider.to_string())
            .collect();
        assert_eq!(silent, ["fal-ai", "openai", "replicate", "wavespeed"]);
        assert!(chat_route(&Provider::named("tomorrow-ai"), "m").is_none());
    }

    #[test]
    fn a_model_can_not_leave_its_place_in_the_path() {
        let route = chat_route(&Provider::HF_INFERENCE, "a/b?x=1#y").unwrap();
        assert_eq!(
            route.path,
            "/hf-inference/models/a/b%3Fx%3D1%23y/v1/chat/completions"
        );
    }

    #[test]
    fn a_schema_is_written_the_way_the_provider_reads_it() {
        let format =
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
        for (form, expected) in [
            (SchemaForm::AsIs, format.clone()),
            (
                SchemaForm::OBJECT_SCHEMA,
                json!({"type": "json_object", "schema": {"type": "object"}}),
            ),
            (
                SchemaForm::OBJECT_VALUE,
                json!({"type": "json_object", "value": {"type": "object"}}),
            ),
        ] {
            let mut written = format.clone();
            form.apply(&mut written);
            assert_eq!(written, expected);
        }
        let mut plain = json!({"type": "text"});
        SchemaForm::OBJECT_VALUE.apply(&mut plain);
        assert_eq!(plain, json!({"type": "text"}));
    }
}
