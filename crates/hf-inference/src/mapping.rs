//! Which provider serves a model under which name, as the Hub says.

use hf_core::{HfClient, HfError, encode_path};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::provider::Provider;

/// How one provider serves a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderMapping {
    /// Who.
    pub provider: Provider,
    /// The provider's own name of the model.
    #[serde(rename = "providerId")]
    pub provider_id: String,
    /// For what, in the Hub's word: `conversational`, `feature-extraction`…
    pub task: String,
    /// `live`, `staging`, `error`, or a word that is newer than this client.
    pub status: String,
}

impl ProviderMapping {
    /// Whether the provider's last check did not fail.
    pub fn is_live(&self) -> bool {
        self.status == "live"
    }
}

/// Both forms the Hub writes it in: an object by provider, in the order of the account's settings, or a list.
#[derive(Debug, Default)]
struct Mappings(Vec<ProviderMapping>);

impl<'de> Deserialize<'de> for Mappings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |value: Value| serde_json::from_value::<ProviderMapping>(value).map_err(D::Error::custom);
        let list = match Value::deserialize(deserializer)? {
            Value::Null => Vec::new(),
            Value::Array(items) => items.into_iter().map(read).collect::<Result<_, _>>()?,
            Value::Object(map) => map
                .into_iter()
                .map(|(provider, mut value)| {
                    if let Some(object) = value.as_object_mut() {
                        object.insert("provider".to_owned(), provider.into());
                    }
                    read(value)
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(D::Error::custom("neither a list nor an object")),
        };
        Ok(Self(list))
    }
}

#[derive(Debug, Deserialize)]
struct ModelInfo {
    #[serde(rename = "inferenceProviderMapping", default)]
    mappings: Mappings,
}

/// Asks who serves a model. Empty when nobody does.
///
/// # Errors
/// Any [`HfError`]; [`HfError::NotFound`] for a model that is not there.
///
/// # Source
/// `GET /api/models/{id}?expand=inferenceProviderMapping`, `huggingface_hub` 2.4.0 `hf_api.py` `InferenceProviderMapping`; recorded
/// answers show both forms.
pub(crate) async fn fetch(hub: &HfClient, model: &str) -> Result<Vec<ProviderMapping>, HfError> {
    let path = format!("/api/models/{}", encode_path(model));
    let info: ModelInfo = hub
        .get_json(&path, &[("expand", "inferenceProviderMapping")])
        .await?;
    Ok(info.mappings.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let object = json!({"inferenceProviderMapping": {
            "groq": {"status": "live", "providerId": "name-fast", "task": "conversational"},
            "together": {"status": "staging", "providerId": "org/Name", "task": "conversational", "isModelAuthor": false}}});
        let list = json!({"inferenceProviderMapping": [
            {"provider": "groq", "status": "live", "providerId": "name-fast", "task": "conversational"},
            {"provider": "together", "status": "staging", "providerId": "org/Name", "task": "conversational"}]});
        let read = |value| serde_json::from_value::<ModelInfo>(value).unwrap().mappings.0;
        let mut from_object = read(object);
        from_object.sort_by(|a, b| a.provider.cmp(&b.provider));
        assert_eq!(from_object, read(list));
        assert!(from_object[0].is_live() && !from_object[1].is_live());
        assert!(read(json!({"id": "a/b"})).is_empty());
        assert!(read(json!({"inferenceProviderMapping": null})).is_empty());
    }
}
