//! What a job is to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use hf_core::{HfError, RepoId, SecretValue};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::volume::Volume;

/// The shortest value of a secret that is looked for where others can read it: shorter ones are found in plain words.
const TELLING_SECRET: usize = 12;

/// A job to submit.
///
/// `JobSpec::docker` and `JobSpec::space` fill in the Hub's defaults; set the other fields directly.
///
/// ```
/// use std::time::Duration;
/// let mut spec = hf_jobs::JobSpec::docker("python:3.12", ["python", "-c", "print('hi')"]);
/// spec.flavor = "t4-small".into();
/// spec.timeout = Some(Duration::from_secs(600));
/// spec.secrets.insert("WANDB_API_KEY".into(), "key".into());
/// assert!(spec.validate().is_ok());
/// assert_eq!(spec.preview()["secrets"]["WANDB_API_KEY"], "***");
/// ```
///
/// # Source
/// Hub OpenAPI, `POST /api/jobs/{namespace}`; `huggingface_hub` 2.4.0 `_jobs_api.py` for `network`, which is in no
/// `OpenAPI` document yet.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// What it runs in.
    pub image: JobImage,
    /// The command, which replaces the image's own.
    pub command: Vec<String>,
    /// Arguments after the command.
    pub arguments: Vec<String>,
    /// The environment. Whoever may see the job can read it; secrets belong into `secrets`.
    pub environment: BTreeMap<String, String>,
    /// Environment variables whose values the Hub encrypts and never shows.
    pub secrets: BTreeMap<String, SecretValue>,
    /// The hardware, by its name in [`JobHardware`](crate::JobHardware).
    pub flavor: String,
    /// The processor architecture.
    pub arch: Option<Arch>,
    /// The longest it may run; the Hub's default is 30 minutes. Whole seconds.
    pub timeout: Option<Duration>,
    /// How often it is tried; the Hub's default is once.
    pub attempts: Option<u32>,
    /// Labels to find it by.
    pub labels: BTreeMap<String, String>,
    /// What is mounted into it.
    pub volumes: Vec<Volume>,
    /// Ports it offers.
    pub expose: Option<Expose>,
    /// Whether its owner may enter it with SSH.
    pub ssh: bool,
    /// The resource group it belongs to, 24 hexadecimal digits.
    pub resource_group_id: Option<String>,
    /// A private network it shares with other jobs.
    pub network: Option<Network>,
}

/// What a job runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobImage {
    /// A Docker image.
    Docker(String),
    /// The image of a Space.
    Space(RepoId),
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// `amd64`.
    Amd64,
    /// `arm64`.
    Arm64,
}

/// Ports a job offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expose {
    /// The ports, at most 20.
    pub ports: Vec<u16>,
    /// Those of them that need no token.
    pub ports_public: Vec<u16>,
}

impl Expose {
    /// As the Hub takes it: a public port is among the offered ones.
    pub(crate) fn to_wire(&self) -> Value {
        let mut ports: Vec<u16> = Vec::new();
        for port in self.ports.iter().chain(&self.ports_public) {
            if !ports.contains(port) {
                ports.push(*port);
            }
        }
        json!({"ports": ports, "portsPublic": self.ports_public})
    }
}

/// A private network between jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Network {
    /// The network's name.
    pub group: String,
    /// The names this job has in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// The flavor clients ask for when nobody says otherwise.
const DEFAULT_FLAVOR: &str = "cpu-basic";
const MAX_LABEL_CHARS: usize = 100;
const MAX_PORTS: usize = 20;

impl JobSpec {
    /// A job in a Docker image.
    pub fn docker<S: Into<String>>(image: impl Into<String>, command: impl IntoIterator<Item = S>) -> Self {
        Self::new(JobImage::Docker(image.into()), command)
    }

    /// A job in the image of a Space.
    pub fn space<S: Into<String>>(space: RepoId, command: impl IntoIterator<Item = S>) -> Self {
        Self::new(JobImage::Space(space), command)
    }

    fn new<S: Into<String>>(image: JobImage, command: impl IntoIterator<Item = S>) -> Self {
        Self {
            image,
            command: command.into_iter().map(Into::into).collect(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            flavor: DEFAULT_FLAVOR.to_owned(),
            arch: None,
            timeout: None,
            attempts: None,
            labels: BTreeMap::new(),
            volumes: Vec::new(),
            expose: None,
            ssh: false,
            resource_group_id: None,
            network: None,
        }
    }

    /// Checks the job against the Hub's rules, before anything is sent or paid.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming the field, also when something that looks like a Hugging Face token stands where
    /// others can read it.
    pub fn validate(&self) -> Result<(), HfError> {
        let refuse = |why: String| Err(HfError::invalid(why));
        if let JobImage::Docker(image) = &self.image
            && (image.is_empty() || image.contains(char::is_whitespace))
        {
            return refuse(format!(
                "{image:?} is no Docker image; expected something like python:3.12"
            ));
        }
        if self.command.iter().any(String::is_empty) {
            return refuse("the command holds an empty word".to_owned());
        }
        if self.flavor.trim().is_empty() {
            return refuse("the flavor is empty; list them with the Hub's hardware".to_owned());
        }
        if self
            .timeout
            .is_some_and(|timeout| timeout.as_secs() == 0 || timeout.subsec_nanos() > 0)
        {
            return refuse("the time-out is not a whole number of seconds, at least 1".to_owned());
        }
        if self.attempts == Some(0) {
            return refuse("0 attempts would never run; 1 is the least".to_owned());
        }
        self.validate_names()?;
        self.validate_places()?;
        self.validate_no_token()
    }

    fn validate_names(&self) -> Result<(), HfError> {
        for name in self.environment.keys().chain(self.secrets.keys()) {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(HfError::invalid(format!(
                    "{name:?} can not be the name of an environment variable"
                )));
            }
        }
        if let Some(name) = self
            .secrets
            .keys()
            .find(|name| self.environment.contains_key(*name))
        {
            return Err(HfError::invalid(format!(
                "{name} is both a secret and in the environment; keep one"
            )));
        }
        for (key, value) in &self.labels {
            for text in [key, value] {
                let good = text.len() <= MAX_LABEL_CHARS
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
                if !good || key.is_empty() {
                    return Err(HfError::invalid(format!(
                        "the label {key:?} = {value:?} breaks the Hub's rule: at most {MAX_LABEL_CHARS} letters, digits, '.', '_' and '-'"
                    )));
                }
            }
        }
        Ok(())
    }

    fn validate_places(&self) -> Result<(), HfError> {
        let mut places = BTreeSet::new();
        for volume in &self.volumes {
            if !volume.mount_path.starts_with('/') || !places.insert(&volume.mount_path) {
                return Err(HfError::invalid(format!(
                    "the mount path {:?} is not absolute, or used twice",
                    volume.mount_path
                )));
            }
        }
        if let Some(expose) = &self.expose {
            let known = |port: &u16| *port > 0 && expose.ports.contains(port);
            if expose.ports.is_empty()
                || expose.ports.len() > MAX_PORTS
                || !expose.ports.iter().all(|port| *port > 0)
            {
                return Err(HfError::invalid(format!(
                    "a job offers 1 to {MAX_PORTS} ports from 1 to 65535"
                )));
            }
            if !expose.ports_public.iter().all(known) {
                return Err(HfError::invalid("a public port is not among the offered ones"));
            }
        }
        if let Some(network) = &self.network
            && (network.group.is_empty()
                || network.group.len() > 46
                || network
                    .aliases
                    .iter()
                    .any(|alias| alias.is_empty() || alias.len() > 34))
        {
            return Err(HfError::invalid(
                "a network has a name of at most 46 characters and aliases of at most 34",
            ));
        }
        Ok(())
    }

    fn validate_no_token(&self) -> Result<(), HfError> {
        match self.find_in_the_open(holds_token) {
            Some(place) => Err(HfError::invalid(format!(
                "{place} holds a Hugging Face token, which everybody who sees the job can read; pass it as a secret"
            ))),
            None => Ok(()),
        }
    }

    /// The first place others can read whose text `matches`.
    pub(crate) fn find_in_the_open(&self, matches: impl Fn(&str) -> bool) -> Option<String> {
        if self.command.iter().any(|word| matches(word)) {
            return Some("the command".to_owned());
        }
        if self.arguments.iter().any(|word| matches(word)) {
            return Some("an argument".to_owned());
        }
        let hit = self.environment.iter().find(|(_, value)| matches(value));
        if let Some((name, _)) = hit {
            return Some(format!("the environment variable {name}"));
        }
        let hit = self.labels.iter().find(|(_, value)| matches(value));
        hit.map(|(key, _)| format!("the label {key}"))
    }

    /// The first secret whose value others can read in another place, and the place.
    pub(crate) fn find_secret_in_the_open(&self) -> Option<(&str, String)> {
        self.secrets.iter().find_map(|(name, secret)| {
            let value = secret.expose();
            let place = (value.len() >= TELLING_SECRET)
                .then(|| self.find_in_the_open(|text| text.contains(value)))??;
            Some((name.as_str(), place))
        })
    }

    /// Exactly what would be sent, with the secrets' values hidden.
    pub fn preview(&self) -> Value {
        self.body(|_| "***".to_owned())
    }

    /// The request's body.
    pub(crate) fn to_wire(&self) -> Value {
        self.body(|secret| secret.expose().to_owned())
    }

    fn body(&self, secret_text: impl Fn(&SecretValue) -> String) -> Value {
        let mut body = Map::new();
        match &self.image {
            JobImage::Docker(image) => body.insert("dockerImage".into(), json!(image)),
            JobImage::Space(space) => body.insert("spaceId".into(), json!(space)),
        };
        body.insert("command".into(), json!(self.command));
        body.insert("arguments".into(), json!(self.arguments));
        body.insert("environment".into(), json!(self.environment));
        body.insert("flavor".into(), json!(self.flavor));
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.into(), value);
            }
        };
        let secrets: BTreeMap<&String, String> =
            self.secrets.iter().map(|(k, v)| (k, secret_text(v))).collect();
        put("secrets", (!secrets.is_empty()).then(|| json!(secrets)));
        put("arch", self.arch.map(|arch| json!(arch)));
        put(
            "timeoutSeconds",
            self.timeout.map(|timeout| json!(timeout.as_secs())),
        );
        put("attempts", self.attempts.map(|attempts| json!(attempts)));
        put("labels", (!self.labels.is_empty()).then(|| json!(self.labels)));
        put("volumes", (!self.volumes.is_empty()).then(|| json!(self.volumes)));
        put("expose", self.expose.as_ref().map(Expose::to_wire));
        put("ssh", self.ssh.then(|| json!({"enabled": true})));
        put(
            "resourceGroupId",
            self.resource_group_id.as_ref().map(|id| json!(id)),
        );
        put("network", self.network.as_ref().map(|network| json!(network)));
        Value::Object(body)
    }
}

impl fmt::Display for JobImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker(image) => f.write_str(image),
            Self::Space(space) => write!(f, "space {space}"),
        }
    }
}

/// Whether a text holds what has the exact form of a user or OAuth token.
pub(crate) fn holds_token(text: &str) -> bool {
    text.match_indices("hf_").any(|(start, _)| {
        let rest = &text[start + 3..];
        let rest = ["oauth_", "jwt_"]
            .iter()
            .find_map(|prefix| rest.strip_prefix(prefix))
            .unwrap_or(rest);
        rest.bytes().take_while(u8::is_ascii_alphanumeric).count() >= 30
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::VolumeKind;

    fn spec() -> JobSpec {
        JobSpec::docker("python:3.12", ["python", "-c", "print('hi')"])
    }

    #[test]
    fn the_least_job_sends_what_the_official_client_sends() {
        let expected = json!({"dockerImage": "python:3.12", "command": ["python", "-c", "print('hi')"], "arguments": [],
            "environment": {}, "flavor": "cpu-basic"});
        assert_eq!(spec().to_wire(), expected);
    }

    #[test]
    fn every_field_has_its_name_on_the_wire() {
        let mut spec = JobSpec::space("ada/demo".parse().unwrap(), ["run"]);
        spec.arguments = vec!["-v".into()];
        spec.environment.insert("EPOCHS".into(), "3".into());
        spec.secrets.insert("KEY".into(), "secret-value".into());
        spec.flavor = "a10g-small".into();
        spec.arch = Some(Arch::Arm64);
        spec.timeout = Some(Duration::from_mins(90));
        spec.attempts = Some(2);
        spec.labels.insert("name".into(), "x-1".into());
        spec.volumes.push(Volume {
            kind: VolumeKind::Bucket,
            source: "ada/artifacts".into(),
            mount_path: "/data".into(),
            revision: None,
            read_only: Some(true),
            path: Some("in".into()),
        });
        spec.expose = Some(Expose {
            ports: vec![80, 8080],
            ports_public: vec![80],
        });
        spec.ssh = true;
        spec.resource_group_id = Some("66aa00bb11cc22dd33ee5501".into());
        spec.network = Some(Network {
            group: "g".into(),
            aliases: vec!["a".into()],
        });
        spec.validate().unwrap();
        let expected = json!({"spaceId": "ada/demo", "command": ["run"], "arguments": ["-v"], "environment": {"EPOCHS": "3"},
            "secrets": {"KEY": "secret-value"}, "flavor": "a10g-small", "arch": "arm64", "timeoutSeconds": 5400, "attempts": 2,
            "labels": {"name": "x-1"},
            "volumes": [{"type": "bucket", "source": "ada/artifacts", "mountPath": "/data", "readOnly": true, "path": "in"}],
            "expose": {"ports": [80, 8080], "portsPublic": [80]}, "ssh": {"enabled": true},
            "resourceGroupId": "66aa00bb11cc22dd33ee5501", "network": {"group": "g", "aliases": ["a"]}});
        assert_eq!(spec.to_wire(), expected);
        let shown = format!("{spec:?} {}", spec.preview());
        assert!(
            !shown.contains("secret-value") && shown.contains("KEY"),
            "{shown}"
        );
    }

    type Change = Box<dyn Fn(&mut JobSpec)>;

    fn change(change: impl Fn(&mut JobSpec) + 'static) -> Change {
        Box::new(change)
    }

    fn label(key: &'static str, value: String) -> Change {
        change(move |spec| {
            spec.labels.insert(key.into(), value.clone());
        })
    }

    fn expose(ports: &'static [u16], public: &'static [u16]) -> Change {
        let expose = Expose {
            ports: ports.into(),
            ports_public: public.into(),
        };
        change(move |spec| spec.expose = Some(expose.clone()))
    }

    fn network(group: String, alias: &'static str) -> Change {
        let network = Network {
            group,
            aliases: vec![alias.into()],
        };
        change(move |spec| spec.network = Some(network.clone()))
    }

    #[test]
    fn wrong_jobs_are_refused_before_they_are_sent() {
        for (what, change) in [
            (
                "blank in the image",
                change(|spec| spec.image = JobImage::Docker("a b".into())),
            ),
            (
                "no image",
                change(|spec| spec.image = JobImage::Docker(String::new())),
            ),
            ("an empty word", change(|spec| spec.command.push(String::new()))),
            ("no flavor", change(|spec| spec.flavor = " ".into())),
            ("no time", change(|spec| spec.timeout = Some(Duration::ZERO))),
            (
                "half a second",
                change(|spec| spec.timeout = Some(Duration::from_millis(1500))),
            ),
            ("no attempt", change(|spec| spec.attempts = Some(0))),
            ("a bad label", label("a", "b c".into())),
            ("a long label", label("a", "b".repeat(101))),
            ("an unnamed label", label("", "b".into())),
            ("no ports", expose(&[], &[])),
            ("port 0", expose(&[0], &[])),
            ("too many ports", expose(&[1; 21], &[])),
            ("an unknown public port", expose(&[1], &[2])),
            ("a long network", network("g".repeat(47), "a")),
            ("an empty alias", network("g".into(), "")),
            (
                "a bad variable",
                change(|spec| {
                    spec.environment.insert("A=B".into(), String::new());
                }),
            ),
            (
                "one name twice",
                change(|spec| {
                    spec.environment.insert("K".into(), "1".into());
                    spec.secrets.insert("K".into(), "2".into());
                }),
            ),
        ] {
            let mut spec = spec();
            change(&mut spec);
            assert!(
                matches!(spec.validate(), Err(HfError::InvalidArgument { .. })),
                "{what}"
            );
        }
        spec().validate().unwrap();
    }

    #[test]
    fn a_token_in_the_open_is_refused() {
        let token = format!("hf_{}", "aB3".repeat(12));
        let [in_command, in_arguments, in_environment] = [token.clone(), token.clone(), token.clone()];
        for change in [
            change(move |spec| spec.command.push(format!("--token={in_command}"))),
            change(move |spec| spec.arguments.push(in_arguments.clone())),
            change(move |spec| {
                spec.environment.insert("HF_TOKEN".into(), in_environment.clone());
            }),
            label("l", token.clone()),
        ] {
            let mut spec = spec();
            change(&mut spec);
            let error = spec.validate().unwrap_err().to_string();
            assert!(error.contains("secret") && !error.contains(&token), "{error}");
        }
        let mut good = spec();
        good.secrets.insert("HF_TOKEN".into(), token.as_str().into());
        good.environment
            .insert("HF_HUB_ENABLE_HF_TRANSFER".into(), "hf_transfer".into());
        good.validate().unwrap();
    }
}
