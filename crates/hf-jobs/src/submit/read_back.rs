//! Whether the job that came back is the job that was asked for.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::info::JobInfo;
use crate::spec::JobSpec;

/// One field of a job that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The field, by its name on the wire.
    pub field: String,
    /// What was asked; no value of the environment or of a secret.
    pub asked: String,
    /// What came back.
    pub got: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: asked {}, got {}", self.field, self.asked, self.got)
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReadBack {
    /// What differs; not empty means that this is not the job that was asked for.
    pub drifts: Vec<Drift>,
    /// Fields that were asked for and that the answer does not show, so that nothing can be said of them.
    pub not_shown: Vec<String>,
}

/// Compares a job with what was asked.
///
/// `flavor` and `environment` are always in an answer, so a missing one is a difference. The others are optional there: one
/// that is missing is named in [`ReadBack::not_shown`]. What the Hub adds (labels, variables) is no difference.
///
/// # Source
/// Hub OpenAPI, reply of `POST /api/jobs/{namespace}`: which fields are required; `timeoutSeconds` comes back as `timeout`,
/// `attempts` as `retry` + 1.
pub fn read_back(asked: &JobSpec, got: &JobInfo) -> ReadBack {
    read_back_request(&asked.preview(), got)
}

/// As [`read_back`], for a request as [`JobSpec::preview`] shows it, which can be stored.
pub fn read_back_request(asked: &Value, got: &JobInfo) -> ReadBack {
    let mut found = ReadBack::default();
    let text = |key: &str| asked.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| asked.get(key).and_then(Value::as_u64);
    let flavor = text("flavor").unwrap_or_default();
    if flavor != got.flavor {
        found.differs("flavor", &flavor, &got.flavor);
    }
    for (field, shown) in [("dockerImage", &got.docker_image), ("spaceId", &got.space_id)] {
        if let Some(image) = text(field) {
            found.compare(field, &image, shown.as_ref());
        }
    }
    if let Some(seconds) = number("timeoutSeconds") {
        found.compare("timeout", &seconds, got.timeout.as_ref());
    }
    if let Some(attempts) = number("attempts") {
        found.compare("retry", &attempts.saturating_sub(1), got.retry.as_ref());
    }
    found.words("command", &words(asked, "command"), &got.command);
    found.words("arguments", &words(asked, "arguments"), &got.arguments);
    for (name, value) in pairs(asked, "environment") {
        match got.environment.get(name) {
            Some(shown) if Some(shown.as_str()) == value => {}
            // Values stay out of messages: an environment is often less public than its owner's errors.
            Some(_) => found.differs("environment", name, &"another value"),
            None => found.differs("environment", name, &"nothing"),
        }
    }
    let mut secrets = pairs(asked, "secrets").peekable();
    if secrets.peek().is_some() && got.secrets.is_empty() {
        found.not_shown.push("secrets".to_owned());
    } else {
        for (name, _) in secrets.filter(|(name, _)| !got.secrets.contains(name)) {
            found.differs("secrets", name, &"nothing");
        }
    }
    let mut labels = pairs(asked, "labels").peekable();
    if labels.peek().is_some() && got.labels.is_empty() {
        found.not_shown.push("labels".to_owned());
    } else {
        for (key, value) in labels {
            let shown = got.labels.get(key).map(String::as_str);
            if shown != value {
                let asked = format!("{key}={}", value.unwrap_or_default());
                found.differs("labels", &asked, &shown.unwrap_or("nothing"));
            }
        }
    }
    let volumes = asked.get("volumes").and_then(Value::as_array);
    found.volumes(volumes.map(Vec::as_slice).unwrap_or_default(), &got.volumes);
    found
}

fn words(asked: &Value, key: &str) -> Vec<String> {
    let words = asked.get(key).and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn pairs<'a>(asked: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, Option<&'a str>)> {
    let pairs = asked.get(key).and_then(Value::as_object).into_iter().flatten();
    pairs.map(|(name, value)| (name, value.as_str()))
}

impl ReadBack {
    /// Whether nothing differs.
    pub fn is_good(&self) -> bool {
        self.drifts.is_empty()
    }

    fn differs(&mut self, field: &str, asked: &impl ToString, got: &impl ToString) {
        self.drifts.push(Drift {
            field: field.to_owned(),
            asked: asked.to_string(),
            got: match got.to_string() {
                text if text.is_empty() => "nothing".to_owned(),
                text => text,
            },
        });
    }

    fn compare<T: PartialEq + ToString>(&mut self, field: &str, asked: &T, got: Option<&T>) {
        match got {
            Some(got) if got == asked => {}
            Some(got) => self.differs(field, asked, got),
            None => self.not_shown.push(field.to_owned()),
        }
    }

    fn words(&mut self, field: &str, asked: &[String], got: &[String]) {
        if asked == got {
            return;
        }
        if got.is_empty() {
            self.not_shown.push(field.to_owned());
            return;
        }
        let place = asked
            .iter()
            .zip(got)
            .take_while(|(asked, got)| asked == got)
            .count();
        let word = |words: &[String]| match words.get(place) {
            Some(word) => format!("{word:?} as word {}", place + 1),
            None => format!("{} words", words.len()),
        };
        self.differs(field, &word(asked), &word(got));
    }

    fn volumes(&mut self, asked: &[Value], got: &[Value]) {
        if asked.is_empty() {
            return;
        }
        if got.is_empty() {
            self.not_shown.push("volumes".to_owned());
            return;
        }
        for volume in asked {
            let mount = volume
                .get("mountPath")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let shown = got
                .iter()
                .find(|shown| shown.get("mountPath").and_then(Value::as_str) == Some(mount));
            let Some(shown) = shown else {
                self.differs("volumes", &mount, &"nothing");
                continue;
            };
            for (key, value) in volume.as_object().into_iter().flatten() {
                match shown.get(key) {
                    Some(got) if got == value => {}
                    Some(got) if !got.is_null() => {
                        self.differs(&format!("volumes {mount} {key}"), value, got);
                    }
                    _ => self.not_shown.push(format!("volumes {mount} {key}")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{Volume, VolumeKind};

    fn asked() -> JobSpec {
        let mut spec = JobSpec::docker("python:3.12", ["python", "train.py"]);
        spec.flavor = "t4-small".into();
        spec.timeout = Some(Duration::from_hours(2));
        spec.environment.insert("EPOCHS".into(), "3".into());
        spec.secrets.insert("HF_TOKEN".into(), "hf_x".into());
        spec.labels.insert("intent".into(), "7".into());
        spec.volumes.push(Volume {
            kind: VolumeKind::Dataset,
            source: "ada/data".into(),
            mount_path: "/data".into(),
            revision: Some("abc".into()),
            read_only: None,
            path: None,
        });
        spec
    }

    fn shown() -> Value {
        json!({"id": "66aa", "dockerImage": "python:3.12", "command": ["python", "train.py"], "arguments": [],
            "environment": {"EPOCHS": "3"}, "secrets": ["HF_TOKEN"], "flavor": "t4-small", "timeout": 7200,
            "labels": {"intent": "7", "name": "added"}, "status": {"stage": "SCHEDULING"},
            "volumes": [{"type": "dataset", "source": "ada/data", "mountPath": "/data", "revision": "abc", "readOnly": true}]})
    }

    fn compare(got: Value) -> ReadBack {
        read_back(&asked(), &serde_json::from_value(got).unwrap())
    }

    #[test]
    fn what_was_asked_is_no_drift_and_what_the_hub_adds_neither() {
        assert_eq!(compare(shown()), ReadBack::default());
    }

    #[test]
    fn every_field_that_differs_is_named_with_both_values() {
        for (field, value, name, got) in [
            ("flavor", json!("a100x8"), "flavor", "a100x8"),
            ("flavor", Value::Null, "flavor", "nothing"),
            ("timeout", json!(1800), "timeout", "1800"),
            ("dockerImage", json!("python:3.9"), "dockerImage", "python:3.9"),
            ("command", json!(["python"]), "command", "1 words"),
            ("environment", json!({}), "environment", "nothing"),
            (
                "environment",
                json!({"EPOCHS": "4"}),
                "environment",
                "another value",
            ),
            ("secrets", json!(["OTHER"]), "secrets", "nothing"),
            ("labels", json!({"name": "added"}), "labels", "nothing"),
            ("labels", json!({"intent": "8"}), "labels", "8"),
            (
                "volumes",
                json!([{"type": "dataset", "source": "ada/data", "mountPath": "/data", "revision": "abd"}]),
                "volumes /data revision",
                "\"abd\"",
            ),
            (
                "volumes",
                json!([{"type": "dataset", "source": "ada/data", "mountPath": "/elsewhere"}]),
                "volumes",
                "nothing",
            ),
        ] {
            let mut job = shown();
            job[field] = value;
            let found = compare(job);
            assert_eq!(found.drifts.len(), 1, "{field}: {found:?}");
            assert_eq!(
                (found.drifts[0].field.as_str(), found.drifts[0].got.as_str()),
                (name, got)
            );
        }
    }

    #[test]
    fn optional_fields_that_are_not_shown_are_said_to_be_so() {
        for (field, name) in [
            ("timeout", "timeout"),
            ("dockerImage", "dockerImage"),
            ("command", "command"),
            ("secrets", "secrets"),
            ("labels", "labels"),
            ("volumes", "volumes"),
        ] {
            let mut job = shown();
            job.as_object_mut().unwrap().remove(field);
            let found = compare(job);
            assert_eq!(
                (found.drifts.len(), found.not_shown),
                (0, vec![name.to_owned()]),
                "{field}"
            );
        }
    }

    #[test]
    fn a_drift_shows_no_value_of_the_environment() {
        let mut spec = asked();
        spec.environment.insert("PASSWORDISH".into(), "opensesame".into());
        let found = read_back(&spec, &serde_json::from_value(shown()).unwrap());
        assert!(!found.drifts.is_empty() && !format!("{found:?}").contains("opensesame"));
    }
}
