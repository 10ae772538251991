//! What jobs are started with, as it is typed.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use clap::Args;
use hf_core::{RepoId, SecretValue};
use hf_jobs::{Expose, JobImage, JobSpec, Network, Volume, parse_timeout};

use crate::error::{CliError, Kind};

/// Addresses that name a Space instead of an image.
const SPACES: [&str; 4] = [
    "https://huggingface.co/spaces/",
    "https://hf.co/spaces/",
    "huggingface.co/spaces/",
    "hf.co/spaces/",
];

/// What a job runs on and with.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// The hardware; `bashgym jobs hardware` lists it with prices
    #[arg(long, value_name = "NAME", default_value = "cpu-basic")]
    flavor: String,
    /// The longest it may run: seconds, or a number with s, m, h or d
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    timeout: String,
    /// How often it is tried when it fails
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// A variable of the job; without a value, that of this environment. Others can read it
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    environment: Vec<String>,
    /// A secret of the job; without a value, that of this environment; NAME=- reads it from standard input
    #[arg(short, long = "secret", value_name = "NAME[=VALUE]")]
    secrets: Vec<String>,
    /// A label to find it by
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Its name, which is the label `name`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What is mounted: `hf://[datasets/|spaces/|buckets/]NAMESPACE/NAME[@REVISION][/PATH]:/MOUNT[:ro|:rw]`
    #[arg(long = "volume", value_name = "VOLUME")]
    volumes: Vec<String>,
    /// A port it offers to who may see it
    #[arg(long, value_name = "PORT")]
    expose: Vec<u16>,
    /// A port it offers to everybody
    #[arg(long, value_name = "PORT")]
    expose_public: Vec<u16>,
    /// Let its owner enter it with SSH
    #[arg(long)]
    ssh: bool,
    /// A private network it shares with other jobs
    #[arg(long, value_name = "NAME")]
    network_group: Option<String>,
    /// A name it has in that network
    #[arg(long, value_name = "NAME", requires = "network_group")]
    network_alias: Vec<String>,
    /// The resource group it belongs to
    #[arg(long, value_name = "ID")]
    resource_group_id: Option<String>,
    /// Start it even if its price is not known; caps then cannot count it
    #[arg(long)]
    pub(crate) allow_unknown_price: bool,
}

impl SpecArgs {
    /// The job, with `command` in `image`.
    pub(crate) fn spec(&self, image: &str, command: Vec<String>) -> Result<JobSpec, CliError> {
        let mut spec = JobSpec::docker(image, command);
        if let Some(space) = SPACES.iter().find_map(|prefix| image.strip_prefix(prefix)) {
            spec.image = JobImage::Space(RepoId::parse(space)?);
        }
        spec.flavor.clone_from(&self.flavor);
        spec.timeout = Some(self.timeout()?);
        spec.attempts = self.attempts;
        spec.environment = variables(&self.environment, "--env")?;
        spec.secrets = secrets(&self.secrets)?;
        spec.labels = labels(&self.labels)?;
        if let Some(name) = &self.name {
            spec.labels.insert("name".to_owned(), name.clone());
        }
        for volume in &self.volumes {
            spec.volumes.push(Volume::parse(volume)?);
        }
        if !self.expose.is_empty() || !self.expose_public.is_empty() {
            let mut ports = self.expose.clone();
            ports.extend(
                self.expose_public
                    .iter()
                    .filter(|port| !self.expose.contains(port)),
            );
            spec.expose = Some(Expose {
                ports,
                ports_public: self.expose_public.clone(),
            });
        }
        spec.ssh = self.ssh;
        spec.resource_group_id.clone_from(&self.resource_group_id);
        spec.network = self.network_group.as_ref().map(|group| Network {
            group: group.clone(),
            aliases: self.network_alias.clone(),
        });
        Ok(spec)
    }

    fn timeout(&self) -> Result<Duration, CliError> {
        Ok(parse_timeout(&self.timeout)?)
    }
}

fn usage(text: String) -> CliError {
    CliError::new(Kind::Usage, text)
}

/// Labels as they are typed.
pub(crate) fn labels(words: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(usage(format!("the label {word:?} is no KEY=VALUE"))),
        })
        .collect()
}

fn variables(words: &[String], flag: &str) -> Result<BTreeMap<String, String>, CliError> {
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Ok((word.clone(), from_environment(word, flag)?)),
        })
        .collect()
}

fn secrets(words: &[String]) -> Result<BTreeMap<String, SecretValue>, CliError> {
    let mut secrets = BTreeMap::new();
    let mut read = false;
    for word in words {
        let (name, value) = match word.split_once('=') {
            Some((name, "-")) => {
                if std::mem::replace(&mut read, true) {
                    return Err(usage("only one secret can come from standard input".to_owned()));
                }
                (name, from_standard_input(name)?)
            }
            Some((name, value)) => (name, value.to_owned()),
            None => (word.as_str(), from_environment(word, "--secret")?),
        };
        secrets.insert(name.to_owned(), SecretValue::from(value));
    }
    Ok(secrets)
}

fn from_standard_input(name: &str) -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| {
        CliError::new(
            Kind::Io,
            format!("the secret {name} cannot be read from standard input"),
        )
        .because(error)
    })?;
    // What a shell's here-string or `echo` adds is no part of it.
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person named this very variable, to keep its value off the command line"
)]
fn from_environment(name: &str, flag: &str) -> Result<String, CliError> {
    std::env::var(name).map_err(|_unset| {
        usage(format!(
            "{flag} {name} has no value, and there is no variable {name} here"
        ))
        .hint(format!(
            "set {name} in the environment, or write {flag} {name}=VALUE"
        ))
    })
}
