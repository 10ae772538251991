//! The embedded Hub as a process of its own, so that jobs go on when the command that started them ends.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hf_core::{HfClient, HfClientBuilder, RetryPolicy, Token};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, Kind, io_error};
use crate::files::write_whole;

/// How long a Hub may take to end after it was asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// What a Hub says once it accepts: the line `bashgym hub serve` prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) event: String,
    pub(crate) endpoint: String,
    pub(crate) inference_endpoint: String,
    pub(crate) accounts: Vec<ReadyAccount>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReadyAccount {
    pub(crate) name: String,
    pub(crate) token: String,
}

/// A Hub process that this user's commands share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    #[serde(flatten)]
    pub(crate) ready: Ready,
}

impl Running {
    /// A client of this Hub, as its first account.
    pub(crate) fn client(&self) -> Result<HfClient, CliError> {
        Ok(self.client_builder()?.build()?)
    }

    fn client_builder(&self) -> Result<HfClientBuilder, CliError> {
        Ok(HfClient::builder()
            .endpoint(self.ready.endpoint.parse()?)
            .token(self.token()?))
    }

    fn token(&self) -> Result<Token, CliError> {
        let account = self
            .ready
            .accounts
            .first()
            .ok_or_else(|| CliError::new(Kind::Internal, "the embedded Hub has no account"))?;
        Ok(Token::parse(&account.token)?)
    }
}

/// Where the embedded Hub of a home folder keeps its things.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedHub {
    home: PathBuf,
}

impl EmbeddedHub {
    pub(crate) fn new(home: &Path) -> Self {
        Self {
            home: home.to_path_buf(),
        }
    }

    /// The Hub's data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.join("hub")
    }

    /// The Hub's log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.home.join("hub.log")
    }

    fn record_file(&self) -> PathBuf {
        self.home.join("hub.json")
    }

    /// The record of the running Hub as it is now, empty if there is none; it changes when another Hub is started.
    pub(crate) fn record(&self) -> String {
        std::fs::read_to_string(self.record_file()).unwrap_or_default()
    }

    /// Whether the Hub of a record is still a process.
    #[expect(clippy::unused_self, reason = "what is known of a Hub is asked of its home")]
    pub(crate) fn is_alive(&self, record: &str) -> bool {
        serde_json::from_str::<Running>(record)
            .is_ok_and(|running| kill(Pid::from_raw(running.pid), None).is_ok() && !is_zombie(running.pid))
    }

    /// The running Hub, if one is there and answers its own token.
    pub(crate) async fn find(&self) -> Result<Option<Running>, CliError> {
        let path = self.record_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        // A record cut short by a crash is as good as none: the Hub is started again.
        let Ok(running) = serde_json::from_str::<Running>(&text) else {
            return Ok(None);
        };
        let once = RetryPolicy {
            max_attempts: 1,
            ..RetryPolicy::default()
        };
        let client = running.client_builder()?.retry(once).build()?;
        Ok(client.whoami().await.is_ok().then_some(running))
    }

    /// The running Hub; starts one if there is none.
    pub(crate) async fn ensure(&self) -> Result<(Running, bool), CliError> {
        if let Some(running) = self.find().await? {
            return Ok((running, false));
        }
        let lock = self.lock()?;
        // Another command may have started it while this one waited for the lock.
        if let Some(running) = self.find().await? {
            return Ok((running, false));
        }
        let started = self.start()?;
        drop(lock);
        Ok((started, true))
    }

    fn lock(&self) -> Result<File, CliError> {
        let path = self.home.join("hub.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| io_error("open", &path, error))?;
        file.lock().map_err(|error| io_error("lock", &path, error))?;
        Ok(file)
    }

    fn start(&self) -> Result<Running, CliError> {
        let program = std::env::current_exe()
            .map_err(|error| CliError::new(Kind::Io, "cannot find this program's own file").because(error))?;
        let log_path = self.log_file();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log_path)
            .map_err(|error| io_error("open", &log_path, error))?;
        let mut child = Command::new(&program)
            .args(["--format", "quiet", "hub", "serve", "--port", "0", "--data"])
            .arg(self.data_dir())
            // It rests most of the time: memory that is let go of goes back at once.
            .env("MIMALLOC_PURGE_DELAY", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // A group of its own: Ctrl-C in this terminal is not meant for the Hub.
            .process_group(0)
            .spawn()
            .map_err(|error| io_error("start", &program, error))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| {
                CliError::new(Kind::Io, "cannot read what the embedded Hub says").because(error)
            })?;
        }
        let Ok(ready) = serde_json::from_str::<Ready>(&line) else {
            return Err(CliError::new(Kind::Unreachable, "the embedded Hub did not start")
                .because(last_lines(&log_path))
                .hint(format!("read {}", log_path.display()))
                .hint("`bashgym hub serve --data DIR --port 0` starts one in the foreground"));
        };
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let running = Running { pid, ready };
        self.remember(&running)?;
        Ok(running)
    }

    /// Keeps the record; it holds tokens.
    fn remember(&self, running: &Running) -> Result<(), CliError> {
        let text = serde_json::to_vec(running).map_err(|error| {
            CliError::new(Kind::Internal, "the record of the Hub is no JSON").because(error)
        })?;
        write_whole(&self.record_file(), &text)
    }

    /// Asks the Hub to end and waits until it has; false if none was running.
    pub(crate) async fn stop(&self) -> Result<bool, CliError> {
        let Some(running) = self.find().await? else {
            return Ok(false);
        };
        let pid = Pid::from_raw(running.pid);
        kill(pid, Signal::SIGTERM).map_err(|error| {
            CliError::new(Kind::Io, format!("cannot stop the Hub, process {pid}")).because(error)
        })?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while kill(pid, None).is_ok() && !is_zombie(running.pid) {
            if Instant::now() > deadline {
                return Err(
                    CliError::new(Kind::Io, format!("the Hub, process {pid}, does not end"))
                        .hint(format!("kill -9 {pid}; no commit is lost by that")),
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let path = self.record_file();
        std::fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
        Ok(true)
    }
}

/// Whether a process has ended and only waits to be collected by its parent.
fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    if lines.is_empty() {
        "it said nothing".to_owned()
    } else {
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }
}
