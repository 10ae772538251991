//! What jobs are started with, as it is typed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
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

/// The secret that jobs have a token of their own for.
const TOKEN: &str = "HF_TOKEN";

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
    /// A secret of the job; without a value, that of this environment, or for `HF_TOKEN` the token of `bashgym token set
    /// --for-jobs` where there is one; NAME=- reads it from standard input
    #[arg(short, long = "secret", value_name = "NAME[=VALUE]")]
    secrets: Vec<String>,
    /// A label to find it by
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Its name, which is the label `name`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What is mounted: `hf://[datasets/|spaces/|buckets/]NAMESPACE/NAME[@REVISION][/PATH]:/MOUNT[:ro|:rw]`, or a folder
    /// here, `DIR:/MOUNT[:ro|:rw]`, of which the job gets a copy
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
    /// The job, with `command` in `image`. `job_token` is what `--secret HF_TOKEN` means where jobs have a token of their own.
    pub(crate) fn spec(
        &self,
        image: &str,
        command: Vec<String>,
        job_token: Option<&SecretValue>,
    ) -> Result<JobSpec, CliError> {
        let mut spec = JobSpec::docker(image, command);
        if let Some(space) = SPACES.iter().find_map(|prefix| image.strip_prefix(prefix)) {
            spec.image = JobImage::Space(RepoId::parse(space)?);
        }
        spec.flavor.clone_from(&self.flavor);
        spec.timeout = Some(self.timeout()?);
        spec.attempts = self.attempts;
        spec.environment = variables(&self.environment, "--env")?;
        spec.secrets = secrets(&self.secrets, job_token)?;
        spec.labels = labels(&self.labels)?;
        if let Some(name) = &self.name {
            spec.labels.insert("name".to_owned(), name.clone());
        }
        for volume in self.volumes.iter().filter(|volume| is_remote(volume)) {
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

    /// The folders of this machine that are to be mounted.
    pub(crate) fn local_folders(&self) -> Result<Vec<LocalFolder>, CliError> {
        self.volumes
            .iter()
            .filter(|volume| !is_remote(volume))
            .map(|volume| LocalFolder::parse(volume))
            .collect()
    }

    fn timeout(&self) -> Result<Duration, CliError> {
        Ok(parse_timeout(&self.timeout)?)
    }
}

/// A folder of this machine of which a job gets a copy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LocalFolder {
    pub(crate) folder: PathBuf,
    pub(crate) mount_path: String,
    pub(crate) read_only: bool,
}

impl LocalFolder {
    /// Reads `DIR:/MOUNT[:ro|:rw]`.
    ///
    /// # Source
    /// `huggingface_hub` `cli/jobs.py`, `_parse_and_sync_job_volumes`: read-only unless it says `rw`.
    fn parse(text: &str) -> Result<Self, CliError> {
        let (body, read_only) = match (text.strip_suffix(":rw"), text.strip_suffix(":ro")) {
            (Some(body), _) => (body, false),
            (_, Some(body)) => (body, true),
            _ => (text, true),
        };
        match body.rsplit_once(":/") {
            Some((folder, mount)) if !folder.is_empty() => Ok(Self {
                folder: PathBuf::from(folder),
                mount_path: format!("/{mount}"),
                read_only,
            }),
            _ => Err(
                usage(format!("the volume {text:?} names no folder or no mount path"))
                    .hint("write DIR:/MOUNT for a folder here, hf://…:/MOUNT for a repository or bucket"),
            ),
        }
    }
}

fn is_remote(volume: &str) -> bool {
    volume.starts_with("hf://")
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

/// Variables as they are typed; one without a value has that of this environment.
pub(crate) fn variables(words: &[String], flag: &str) -> Result<BTreeMap<String, String>, CliError> {
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Ok((word.clone(), from_environment(word, flag)?)),
        })
        .collect()
}

/// Secrets as they are typed: with a value, from this environment, or from standard input. `job_token` is what `HF_TOKEN` without
/// a value means where there is one.
pub(crate) fn secrets(
    words: &[String],
    job_token: Option<&SecretValue>,
) -> Result<BTreeMap<String, SecretValue>, CliError> {
    let mut secrets = BTreeMap::new();
    let mut read = false;
    for word in words {
        if let (TOKEN, Some(token)) = (word.as_str(), job_token) {
            secrets.insert(word.clone(), token.clone());
            continue;
        }
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

#[cfg(test)]
mod tests {
    use super::LocalFolder;

    #[test]
    fn folders_are_read_as_the_official_client_reads_them() {
        for (text, folder, mount, read_only) in [
            ("./data:/data", "./data", "/data", true),
            ("out:/mnt/out:rw", "out", "/mnt/out", false),
            ("/a:/b:ro", "/a", "/b", true),
            ("a:/b:/c", "a:/b", "/c", true),
        ] {
            let read = LocalFolder::parse(text).expect(text);
            assert_eq!(
                (read.folder.to_str(), read.mount_path.as_str(), read.read_only),
                (Some(folder), mount, read_only)
            );
        }
        for wrong in ["data", ":/data", "data:relative"] {
            assert!(LocalFolder::parse(wrong).is_err(), "{wrong}");
        }
    }
}
