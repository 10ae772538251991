//! What a job is asked to be: the body of a submission, checked the way the Hub checks it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::flavor::{FLAVORS, Flavor};
use super::volumes::{self, VolumeSpec};

/// Half an hour: what the Hub gives a job that names no time-out.
pub(crate) const DEFAULT_TIMEOUT_SECS: u64 = 30 * 60;

/// The largest whole number JavaScript holds exactly, the Hub's limit on numbers.
const MAX_SAFE_INTEGER: u64 = 9_007_199_254_740_991;

const MAX_LABEL_CHARS: usize = 100;

/// A checked submission, without its secrets. This is what the store keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) docker_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) space_id: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) secret_names: Vec<String>,
    pub(crate) flavor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arch: Option<String>,
    pub(crate) timeout_secs: u64,
    pub(crate) attempts: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) volumes: Vec<VolumeSpec>,
}

impl JobSpec {
    /// Names the image or the Space the job was to run in.
    pub(crate) fn image(&self) -> &str {
        self.docker_image
            .as_deref()
            .or(self.space_id.as_deref())
            .unwrap_or_default()
    }
}

/// The values of a job's secrets. They are never written to disk and never printed.
#[derive(Clone, Default)]
pub(crate) struct Secrets(pub(crate) BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A submission as it came.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) spec: JobSpec,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) secrets: Secrets,
}

/// Why a submission is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400, in the words of the Hub's validator where they are known.
    Invalid(String),
    /// 501: the Hub does this and a process on this machine can't.
    NotServed(&'static str),
}

impl Submission {
    /// Checks the body of `POST /api/jobs/{namespace}`.
    ///
    /// # Source
    /// Hub OpenAPI, `POST /api/jobs/{namespace}`; the layout of the messages is that of recorded replies, their
    /// wording for jobs is not known and follows the validator library the Hub uses.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::Invalid(format!("The body is not JSON: {error}")))?;
        let mut problems = Problems::default();
        let Value::Object(body) = value else {
            problems.expected("object", Some(&value), "");
            return Err(Refusal::Invalid(problems.text));
        };
        let docker_image = problems.optional_string(&body, "dockerImage");
        let space_id = problems.optional_string(&body, "spaceId");
        if docker_image.is_some() == space_id.is_some() && !problems.names_either("dockerImage", "spaceId") {
            problems.add(
                "Invalid input: exactly one of dockerImage and spaceId is needed",
                "",
            );
        }
        let command = problems.strings(&body, "command", true);
        if !body.contains_key("command") {
            // The Hub would run the entry point of the image; a process has none.
            problems.add(
                "Invalid input: hf-local runs jobs as processes, so a command is needed",
                "command",
            );
        }
        let arguments = problems.strings(&body, "arguments", false);
        // The Hub's pattern asks for two characters in a variable and one in a secret.
        let environment = problems.string_map(&body, "environment", |key| is_variable(key) && key.len() > 1);
        let secrets = problems.string_map(&body, "secrets", is_variable);
        let flavor = problems.flavor(&body);
        let arch = problems.one_of(&body, "arch", &["amd64", "arm64"]);
        let timeout = problems
            .integer(&body, "timeoutSeconds", true)
            .unwrap_or(DEFAULT_TIMEOUT_SECS);
        let attempts = problems.integer(&body, "attempts", false).unwrap_or(1);
        let labels = problems.labels(&body);
        for (field, values) in [("command", &command), ("arguments", &arguments)] {
            for (index, value) in values.iter().enumerate() {
                if value.contains('\0') {
                    problems.add(
                        "Invalid string: must not contain a NUL character",
                        &format!("{field}[{index}]"),
                    );
                }
            }
        }
        for (field, values) in [("environment", &environment), ("secrets", &secrets)] {
            for (key, _) in values.iter().filter(|(_, value)| value.contains('\0')) {
                problems.add(
                    "Invalid string: must not contain a NUL character",
                    &format!("{field}.{key}"),
                );
            }
        }
        let volumes = volumes::parse(&mut problems, &body);
        if !problems.text.is_empty() {
            return Err(Refusal::Invalid(problems.text));
        }
        not_served(&body)?;
        let spec = JobSpec {
            docker_image,
            space_id,
            command,
            arguments,
            environment,
            secret_names: secrets.keys().cloned().collect(),
            flavor,
            arch,
            timeout_secs: timeout,
            attempts,
            volumes,
        };
        Ok(Self {
            spec,
            labels,
            secrets: Secrets(secrets),
        })
    }
}

fn not_served(body: &Map<String, Value>) -> Result<(), Refusal> {
    let asks = |key: &str| body.get(key).is_some_and(|value| !value.is_null());
    if asks("expose") {
        return Err(Refusal::NotServed("Exposing ports of a job (expose)"));
    }
    if body
        .get("ssh")
        .is_some_and(|ssh| ssh["enabled"] == Value::Bool(true))
    {
        return Err(Refusal::NotServed("SSH into a job (ssh)"));
    }
    if asks("network") {
        return Err(Refusal::NotServed("A network group of jobs (network)"));
    }
    if asks("resourceGroupId") {
        return Err(Refusal::NotServed(
            "Running a job in a resource group (resourceGroupId)",
        ));
    }
    Ok(())
}

/// Checks the body of `PUT .../labels`.
pub(crate) fn parse_labels(body: &[u8]) -> Result<BTreeMap<String, String>, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::Invalid(format!("The body is not JSON: {error}")))?;
    let mut problems = Problems::default();
    let mut labels = BTreeMap::new();
    match &value {
        Value::Object(body) if body.contains_key("labels") => labels = problems.labels(body),
        Value::Object(_) => problems.expected("record", None, "labels"),
        _ => problems.expected("object", Some(&value), ""),
    }
    if problems.text.is_empty() {
        Ok(labels)
    } else {
        Err(Refusal::Invalid(problems.text))
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_label(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Splits `key=value` as a list's `label` filter has it; `None` when it is none.
pub(crate) fn parse_label_filter(filter: &str) -> Option<(&str, &str)> {
    let (key, value) = filter.split_once('=')?;
    (!key.is_empty() && is_label(key) && is_label(value)).then_some((key, value))
}

/// Validation problems in the Hub's layout: a line with a heavy cross for each, then where it is.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) text: String,
}

impl Problems {
    pub(crate) fn add(&mut self, message: &str, path: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        // Writing to a string can't fail.
        let _written = write!(self.text, "✖ {message}");
        if !path.is_empty() {
            let _written = write!(self.text, "\n  → at {path}");
        }
    }

    fn names_either(&self, one: &str, other: &str) -> bool {
        [one, other]
            .iter()
            .any(|name| self.text.contains(&format!("→ at {name}")))
    }

    fn expected(&mut self, wanted: &str, found: Option<&Value>, path: &str) {
        let found = match found {
            None => "undefined",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "boolean",
            Some(Value::Number(_)) => "number",
            Some(Value::String(_)) => "string",
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
        };
        self.add(
            &format!("Invalid input: expected {wanted}, received {found}"),
            path,
        );
    }

    fn optional_string(&mut self, body: &Map<String, Value>, key: &str) -> Option<String> {
        match body.get(key) {
            None => None,
            Some(Value::String(text)) if text.is_empty() => {
                self.add("Too small: expected string to have >=1 characters", key);
                None
            }
            Some(Value::String(text)) => Some(text.clone()),
            other => {
                self.expected("string", other, key);
                None
            }
        }
    }

    fn strings(&mut self, body: &Map<String, Value>, key: &str, filled: bool) -> Vec<String> {
        let items = match body.get(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            other => {
                self.expected("array", other, key);
                return Vec::new();
            }
        };
        if filled && items.is_empty() {
            self.add("Too small: expected array to have >=1 items", key);
        }
        let mut strings = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{key}[{index}]");
            match item {
                Value::String(text) if filled && text.is_empty() => {
                    self.add("Too small: expected string to have >=1 characters", &path);
                }
                Value::String(text) => strings.push(text.clone()),
                other => self.expected("string", Some(other), &path),
            }
        }
        strings
    }

    fn string_map(
        &mut self,
        body: &Map<String, Value>,
        key: &str,
        is_name: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, String> {
        let entries = match body.get(key) {
            None => return BTreeMap::new(),
            Some(Value::Object(entries)) => entries,
            other => {
                self.expected("record", other, key);
                return BTreeMap::new();
            }
        };
        let mut map = BTreeMap::new();
        for (name, value) in entries {
            let path = format!("{key}.{name}");
            if !is_name(name) {
                self.add("Invalid key in record", &path);
                continue;
            }
            match value {
                Value::String(text) => {
                    map.insert(name.clone(), text.clone());
                }
                other => self.expected("string", Some(other), &path),
            }
        }
        map
    }

    fn labels(&mut self, body: &Map<String, Value>) -> BTreeMap<String, String> {
        let labels = self.string_map(body, "labels", |key| {
            !key.is_empty() && is_label(key) && key.len() <= MAX_LABEL_CHARS
        });
        for (key, value) in &labels {
            let path = format!("labels.{key}");
            if value.chars().count() > MAX_LABEL_CHARS {
                self.add(
                    &format!("Too big: expected string to have <={MAX_LABEL_CHARS} characters"),
                    &path,
                );
            }
            if !is_label(value) {
                self.add("Invalid string: must match pattern /^[a-zA-Z0-9._-]*$/", &path);
            }
        }
        labels
    }

    fn flavor(&mut self, body: &Map<String, Value>) -> String {
        let named = body.get("flavor").and_then(Value::as_str);
        if let Some(flavor) = named.and_then(Flavor::find) {
            return flavor.name.to_owned();
        }
        let names: Vec<&str> = FLAVORS.iter().map(|flavor| flavor.name).collect();
        self.no_option(&names, "flavor");
        String::new()
    }

    fn one_of(&mut self, body: &Map<String, Value>, key: &str, options: &[&str]) -> Option<String> {
        let value = body.get(key)?;
        if let Some(text) = value.as_str().filter(|text| options.contains(text)) {
            return Some(text.to_owned());
        }
        self.no_option(options, key);
        None
    }

    /// One of a set of words was asked for.
    pub(crate) fn no_option(&mut self, options: &[&str], path: &str) {
        let options: Vec<String> = options.iter().map(|option| format!("\"{option}\"")).collect();
        self.add(
            &format!("Invalid option: expected one of {}", options.join("|")),
            path,
        );
    }

    fn integer(&mut self, body: &Map<String, Value>, key: &str, nullable: bool) -> Option<u64> {
        let value = body.get(key)?;
        match value {
            Value::Null if nullable => None,
            Value::Number(number) => match number.as_u64() {
                Some(0) => {
                    self.add("Too small: expected number to be >0", key);
                    None
                }
                Some(number) if number > MAX_SAFE_INTEGER => {
                    self.add(
                        &format!("Too big: expected number to be <={MAX_SAFE_INTEGER}"),
                        key,
                    );
                    None
                }
                Some(number) => Some(number),
                None if number.as_i64().is_some() => {
                    self.add("Too small: expected number to be >0", key);
                    None
                }
                None => {
                    self.add("Invalid input: expected int, received number", key);
                    None
                }
            },
            other => {
                self.expected("number", Some(other), key);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<Submission, Refusal> {
        Submission::parse(body.to_string().as_bytes())
    }

    fn invalid(body: &Value) -> String {
        match parse(body) {
            Err(Refusal::Invalid(text)) => text,
            other => panic!("expected a refusal of {body}, got {other:?}"),
        }
    }

    fn job() -> Value {
        json!({"dockerImage": "python:3.12", "command": ["python", "-c", "print(1)"], "arguments": [],
            "environment": {"EPOCHS": "3"}, "secrets": {"T": "s3cret"}, "flavor": "cpu-basic",
            "labels": {"name": "python-3.12"}})
    }

    fn with(key: &str, value: Value) -> Value {
        let mut body = job();
        body[key] = value;
        body
    }

    #[test]
    fn what_the_python_client_sends_is_taken() {
        let submission = parse(&job()).unwrap();
        assert_eq!(submission.spec.timeout_secs, 1800);
        assert_eq!(submission.spec.attempts, 1);
        assert_eq!(submission.spec.secret_names, ["T"]);
        assert_eq!(submission.labels["name"], "python-3.12");
        assert!(!format!("{submission:?}").contains("s3cret"));
        assert!(
            !serde_json::to_string(&submission.spec)
                .unwrap()
                .contains("s3cret")
        );
    }

    #[test]
    fn each_problem_is_a_line_with_its_place() {
        let body = json!({"dockerImage": "a", "spaceId": "b/c", "command": ["", 3], "environment": {"1X": "a"},
            "timeoutSeconds": 0, "flavor": "cpu-basic", "labels": {"a": "b c"}});
        assert_eq!(
            invalid(&body),
            "✖ Invalid input: exactly one of dockerImage and spaceId is needed\n\
             ✖ Too small: expected string to have >=1 characters\n  → at command[0]\n\
             ✖ Invalid input: expected string, received number\n  → at command[1]\n\
             ✖ Invalid key in record\n  → at environment.1X\n\
             ✖ Too small: expected number to be >0\n  → at timeoutSeconds\n\
             ✖ Invalid string: must match pattern /^[a-zA-Z0-9._-]*$/\n  → at labels.a"
        );
    }

    #[test]
    fn an_unknown_flavor_is_answered_with_those_there_are() {
        let text = invalid(&with("flavor", json!("h100")));
        assert!(
            text.starts_with("✖ Invalid option: expected one of \"cpu-basic\"|\"cpu-upgrade\""),
            "{text}"
        );
        assert!(text.ends_with("\n  → at flavor"), "{text}");
        let mut body = job();
        body.as_object_mut().unwrap().remove("flavor");
        assert!(invalid(&body).ends_with("\n  → at flavor"));
    }

    #[test]
    fn neither_image_nor_space_is_refused_and_so_is_no_command() {
        let text = invalid(&json!({"flavor": "cpu-basic"}));
        assert!(text.contains("exactly one of dockerImage and spaceId"), "{text}");
        assert!(text.contains("a command is needed\n  → at command"), "{text}");
    }

    #[test]
    fn labels_are_short_and_plain() {
        assert!(invalid(&with("labels", json!({"a": "x".repeat(101)}))).contains("Too big"));
        assert!(invalid(&with("labels", json!({"x".repeat(101): "a"}))).contains("Invalid key"));
        assert!(invalid(&with("labels", json!([]))).contains("expected record, received array"));
        assert!(parse(&with("labels", json!({"a": "", "b.C_-9": "x".repeat(100)}))).is_ok());
    }

    #[test]
    fn numbers_are_whole_and_positive() {
        for (value, words) in [
            (json!(-1), ">0"),
            (json!(1.5), "expected int"),
            (json!("30m"), "expected number, received string"),
            (json!(9_007_199_254_740_992_u64), "<=9007199254740991"),
        ] {
            assert!(
                invalid(&with("timeoutSeconds", value.clone())).contains(words),
                "{value}"
            );
        }
        assert_eq!(
            parse(&with("timeoutSeconds", Value::Null))
                .unwrap()
                .spec
                .timeout_secs,
            1800
        );
        assert!(invalid(&with("attempts", Value::Null)).contains("received null"));
    }

    #[test]
    fn what_a_process_cannot_do_is_named() {
        let volumes = json!([{"type": "model", "source": "a/b", "mountPath": "/m"}, {"type": "x", "source": "a", "mountPath": "/m"}]);
        let problems = invalid(&with("volumes", volumes));
        for place in ["volumes[1].type", "volumes[1].source", "volumes[1].mountPath"] {
            assert!(problems.contains(place), "{problems}");
        }
        for (key, value) in [
            ("expose", json!({"ports": [80]})),
            ("ssh", json!({"enabled": true})),
            ("network", json!({"group": "g"})),
            ("resourceGroupId", json!("66aa00bb11cc22dd33ee5501")),
        ] {
            assert!(matches!(parse(&with(key, value)), Err(Refusal::NotServed(what)) if what.contains(key)));
        }
        assert!(parse(&with("ssh", json!({"enabled": false}))).is_ok());
    }

    #[test]
    fn a_label_filter_is_a_key_and_a_value() {
        assert_eq!(parse_label_filter("a=b"), Some(("a", "b")));
        assert_eq!(parse_label_filter("a="), Some(("a", "")));
        for bad in ["", "a", "=b", "a=b=c", "a b=c", "a=%"] {
            assert_eq!(parse_label_filter(bad), None, "{bad}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-zA-Z_]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_field_holds_is_answered(field in 0usize..12, value in any_json()) {
            let fields = ["dockerImage", "spaceId", "command", "arguments", "environment", "secrets", "flavor", "arch",
                "timeoutSeconds", "attempts", "labels", "volumes"];
            match parse(&with(fields[field], value)) {
                Err(Refusal::Invalid(text)) => prop_assert!(text.starts_with('✖')),
                Err(Refusal::NotServed(_)) => prop_assert!(false),
                Ok(submission) => prop_assert!(!submission.spec.command.is_empty()),
            }
        }
    }
}
