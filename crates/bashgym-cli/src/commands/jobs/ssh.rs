//! `bashgym jobs ssh`: into a running job, by the machine's own `ssh`.

use std::path::PathBuf;
use std::process::Stdio;

use clap::Args;
use hf_core::JobId;
use hf_jobs::{HfJobRunner, JobStage};
use serde_json::json;
use url::Url;

use crate::context::Context;
use crate::error::{CliError, Kind};

/// How long between two looks at a job that is not running yet.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(3);

/// Enters a job.
#[derive(Debug, Args)]
#[command(after_help = "\
The job has to be started with --ssh, and your public key to be among https://huggingface.co/settings/keys. A job that
waits for its machine is waited for.

Example: bashgym jobs ssh 66aa00bb11cc22dd33ee5501")]
pub(crate) struct SshArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    job: String,
    /// The key file, handed to `ssh -i`
    #[arg(short, long, value_name = "FILE")]
    identity_file: Option<PathBuf>,
    /// Print the command instead of running it
    #[arg(long)]
    dry_run: bool,
}

/// Where `ssh` is to go.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    destination: String,
    port: Option<u16>,
}

impl Address {
    /// Reads the Hub's `ssh://USER@HOST[:PORT]`. What `ssh` could take for an option, or a shell for more than a word, is refused.
    fn parse(text: &str) -> Result<Self, CliError> {
        let odd = || CliError::new(Kind::Data, "the Hub names an SSH address that is none");
        let url = Url::parse(text).map_err(|error| odd().because(error))?;
        let host = url.host_str().unwrap_or_default();
        let user = url.username();
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if url.scheme() != "ssh" || !plain(host) || !plain(user) || url.password().is_some() {
            return Err(odd());
        }
        Ok(Self {
            destination: format!("{user}@{host}"),
            port: url.port(),
        })
    }
}

/// # Source
/// `huggingface_hub` `cli/jobs.py`, `jobs_ssh`: the status' `sshUrl`, waiting for RUNNING, the machine's own `ssh`.
pub(crate) async fn run(args: &SshArgs, runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    let id: JobId = args.job.parse()?;
    let mut job = runner.get_job(&id).await?;
    let mut told = false;
    loop {
        if job.stage().is_terminal() {
            let over = format!("job {id} is over, as {}", job.status.stage);
            return Err(CliError::new(Kind::Conflict, over).hint(format!("bashgym jobs logs {id}")));
        }
        if job.status.ssh_url.is_none() {
            return Err(
                CliError::new(Kind::Conflict, format!("job {id} was started without SSH"))
                    .hint("start it with --ssh: bashgym jobs run --ssh … -- COMMAND"),
            );
        }
        if *job.stage() == JobStage::Running {
            break;
        }
        if !std::mem::replace(&mut told, true) {
            context.output.note(format!(
                "Waiting for job {id} to run; it is {}.",
                job.status.stage
            ));
        }
        tokio::select! {
            () = runner.client().clock().sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => {
                return Err(CliError::new(Kind::Interrupted, "stopped waiting; the job goes on"));
            }
        }
        job = runner.get_job(&id).await?;
    }
    let address = Address::parse(job.status.ssh_url.as_deref().unwrap_or_default())?;
    let mut words: Vec<String> = Vec::new();
    if let Some(file) = &args.identity_file {
        words.extend(["-i".to_owned(), file.display().to_string()]);
    }
    if let Some(port) = address.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.push(address.destination);
    if args.dry_run {
        if context.output.is_json() {
            let command: Vec<&str> = std::iter::once("ssh")
                .chain(words.iter().map(String::as_str))
                .collect();
            return context.output.json(&json!({ "command": command }));
        }
        return context.output.line(format!("ssh {}", words.join(" ")));
    }
    let status = tokio::process::Command::new("ssh")
        .args(&words)
        .stdin(Stdio::inherit())
        .status()
        .await
        .map_err(|error| {
            CliError::new(Kind::NotFound, "ssh cannot be started")
                .because(error)
                .hint("install OpenSSH, or see the command with --dry-run")
        })?;
    if status.success() {
        return Ok(());
    }
    Err(CliError::new(Kind::JobFailed, format!("ssh ended with {status}"))
        .hint("your public key has to be among https://huggingface.co/settings/keys"))
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn only_plain_addresses_reach_ssh() {
        let read = Address::parse("ssh://66aa@ssh.hf.jobs:2222").expect("an address");
        assert_eq!(
            (read.destination.as_str(), read.port),
            ("66aa@ssh.hf.jobs", Some(2222))
        );
        for bad in [
            "ssh://-oProxyCommand=evil@host",
            "ssh://a@-oProxyCommand=evil",
            "ssh://a:b@host",
            "ssh://host",
            "https://a@host",
            "ssh://a%20b@host",
            "",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
