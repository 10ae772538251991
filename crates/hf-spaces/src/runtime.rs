//! What the Hub says of a Space that runs, or tries to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lenient;
use crate::stage::SpaceStage;

/// The state of a Space: `GET /api/spaces/{id}/runtime`.
///
/// # Shape
/// The Hub's own keys; what is not known is kept in [`SpaceRuntime::more`].
///
/// # Source
/// Recorded replies in the tests of `huggingface_hub`; its `_space_api.py` `SpaceRuntime`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SpaceRuntime {
    /// Where it is in its life.
    pub stage: SpaceStage,
    /// What it runs on, and what it is to run on.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub hardware: HardwareState,
    /// Seconds without a visitor until it falls asleep; none is never, or not told.
    #[serde(rename = "gcTimeout", default, deserialize_with = "lenient::number")]
    pub sleep_time_s: Option<u64>,
    /// Whether Dev Mode is on.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub dev_mode: bool,
    /// Where the app is reached.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub domains: Vec<SpaceDomain>,
    /// The commit that runs.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub sha: Option<String>,
    /// Why it failed, in the Hub's words.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub error_message: Option<String>,
    /// Everything else the Hub sent.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// The hardware of a Space.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HardwareState {
    /// What it runs on; none while it is first built, and for static Spaces.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub current: Option<String>,
    /// What was asked for.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub requested: Option<String>,
}

/// An address of an app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SpaceDomain {
    /// The host, like `ada-demo.hf.space`.
    #[serde(default)]
    pub domain: String,
    /// `READY` or `PENDING`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub stage: Option<String>,
    /// Whether its owner brought it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub is_custom: bool,
}

/// A Space as the Hub describes it: `GET /api/spaces/{id}`, or one of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SpaceInfo {
    /// `namespace/name`.
    pub id: String,
    /// Whether only its owner sees it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub private: Option<bool>,
    /// `gradio`, `docker` or `static`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub sdk: Option<String>,
    /// The head of `main`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub sha: Option<String>,
    /// The first label of its host.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub subdomain: Option<String>,
    /// Where the app is reached, with its scheme.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub host: Option<String>,
    /// When it last changed.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub last_modified: Option<Timestamp>,
    /// Its state, where that was asked for.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub runtime: Option<SpaceRuntime>,
    /// Its files.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub siblings: Vec<Sibling>,
}

/// A file of a Space.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sibling {
    /// Its path.
    pub rfilename: String,
}

impl SpaceInfo {
    /// Whether it has a file of this path.
    pub fn has_file(&self, path: &str) -> bool {
        self.siblings.iter().any(|file| file.rfilename == path)
    }

    /// Where the app is reached: the host the Hub names, else a domain of the runtime that is ready.
    pub fn app_url(&self) -> Option<String> {
        self.host.clone().or_else(|| {
            let domains = &self.runtime.as_ref()?.domains;
            let ready = domains
                .iter()
                .find(|domain| domain.stage.as_deref() == Some("READY"))
                .or_else(|| domains.first())?;
            Some(format!("https://{}", ready.domain))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_runtime_is_read_and_written_whole() {
        let sent = json!({"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "t4-small"}, "storage": null,
            "gcTimeout": 172_800, "replicas": {"current": 1, "requested": "auto"}, "devMode": false,
            "domains": [{"domain": "ada-demo.hf.space", "stage": "READY"}], "sha": "0a1b", "resources": {"x": 1}});
        let runtime: SpaceRuntime = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(runtime.stage, SpaceStage::Running);
        assert_eq!(runtime.hardware.requested.as_deref(), Some("t4-small"));
        assert_eq!(runtime.sleep_time_s, Some(172_800));
        let written = serde_json::to_value(&runtime).unwrap();
        for key in ["stage", "gcTimeout", "replicas", "resources", "sha", "storage"] {
            assert_eq!(written[key], sent[key], "{key}");
        }
    }

    /// Replies of the production Hub: the official client's cassette `TestSpaceAPIProduction.test_space_runtime`, December 2023, and
    /// a docker Space of February 2026 (its names changed).
    #[test]
    fn recorded_replies_are_read() {
        let old = r#"{"stage":"NO_APP_FILE","hardware":{"current":null,"requested":"cpu-basic"},"storage":null,"gcTimeout":172800,"replicas":{"current":1,"requested":1}}"#;
        let old: SpaceRuntime = serde_json::from_str(old).unwrap();
        assert_eq!((old.stage, old.sha), (SpaceStage::NoAppFile, None));
        assert_eq!(old.hardware.requested.as_deref(), Some("cpu-basic"));
        let new = r#"{"stage":"RUNNING","hardware":{"current":"cpu-xl","requested":"cpu-xl"},"gcTimeout":172800,"replicas":{"current":1,"requested":1},"devMode":false,"domains":[{"domain":"old.example.org","stage":"EXPIRED_CHALLENGE"},{"domain":"ada-demo.hf.space","stage":"READY"}],"pySpacesVersion":"0.48.2"}"#;
        let info = json!({"_id": "67e454cdd4f34388bcd19c38", "id": "ada/demo", "lastModified": "2026-02-06T12:47:43.000Z", "private": false,
            "runtime": serde_json::from_str::<serde_json::Value>(new).unwrap()});
        let info: SpaceInfo = serde_json::from_value(info).unwrap();
        assert_eq!(info.app_url().as_deref(), Some("https://ada-demo.hf.space"));
        assert!(info.last_modified.is_some());
    }

    #[test]
    fn what_is_missing_or_odd_is_no_failure() {
        for odd in [
            json!({"stage": "BUILDING"}),
            json!({"stage": "BUILDING", "hardware": null, "gcTimeout": null, "domains": null, "devMode": null}),
            json!({"stage": "BUILDING", "hardware": "cpu", "domains": {"a": 1}, "sha": 7}),
        ] {
            let runtime: SpaceRuntime = serde_json::from_value(odd).unwrap();
            assert_eq!(runtime.hardware, HardwareState::default());
            assert_eq!(runtime.sleep_time_s, None);
        }
    }
}
