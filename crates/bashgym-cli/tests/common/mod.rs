//! A home, an environment and Hubs of a test's own.
#![expect(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part; a test that cannot begin has failed"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

/// Waits until `holds` does.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// The sample sessions that ship with the project.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/sessions")
        .canonicalize()
        .unwrap()
}

/// A command line environment of its own: no account, no state, nothing of the person who runs the tests.
pub(crate) struct Environment {
    pub(crate) folder: TempDir,
}

impl Environment {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("bashgym-home")
    }

    pub(crate) fn bashgym<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bashgym"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("user"))
            .env("BASHGYM_HOME", self.home())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Output {
        self.bashgym(args).output().unwrap()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // Whatever Hub the test's commands started ends with the test.
        let _ = self.run(["--local", "hub", "stop"]);
    }
}

/// The JSON lines of an output.
pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts success, with what the command said.
#[track_caller]
pub(crate) fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        stderr(output)
    );
}

/// A Hub in the foreground.
pub(crate) struct Hub {
    process: Child,
    pub(crate) endpoint: String,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl Hub {
    pub(crate) fn start(environment: &Environment, data: &Path) -> Self {
        let mut process = environment
            .bashgym(["hub", "serve", "--port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            process,
            endpoint: text(&ready["endpoint"]),
            name: text(&ready["accounts"][0]["name"]),
            token: text(&ready["accounts"][0]["token"]),
        }
    }

    /// A command against this Hub.
    pub(crate) fn bashgym<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        &self,
        environment: &Environment,
        args: I,
    ) -> Command {
        let mut command = environment.bashgym(args);
        command
            .env("HF_ENDPOINT", &self.endpoint)
            .env("HF_TOKEN", &self.token);
        command
    }

    /// Builds the sample sessions into a dataset and pushes it as `sessions`; what `data push` told.
    pub(crate) fn push_sessions(&self, environment: &Environment) -> Value {
        let dataset = environment.path("dataset");
        let built = environment
            .bashgym(["data", "build"])
            .arg(fixtures())
            .arg("--out")
            .arg(&dataset)
            .output()
            .unwrap();
        assert_success(&built);
        let pushed = self
            .bashgym(environment, ["--format", "json", "data", "push"])
            .arg(&dataset)
            .arg("sessions")
            .output()
            .unwrap();
        assert_success(&pushed);
        json_lines(&pushed).remove(0)
    }

    pub(crate) fn client(&self) -> hf_core::HfClient {
        hf_core::HfClient::builder()
            .endpoint(self.endpoint.parse().unwrap())
            .token(hf_core::Token::parse(&self.token).unwrap())
            .build()
            .unwrap()
    }

    /// Sets a control of the local Hub: `POST /_local/{name}`.
    pub(crate) fn control(&self, name: &str, body: &Value) {
        let client = self.client();
        let spec = hf_core::RequestSpec::post(format!("/_local/{name}"))
            .json(body)
            .unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(client.request_bytes(spec)).unwrap();
    }

    /// As a power cut would.
    pub(crate) fn kill_9(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// As an operator would; returns whether it ended well.
    pub(crate) fn terminate(mut self) -> bool {
        kill(
            Pid::from_raw(i32::try_from(self.process.id()).unwrap()),
            Signal::SIGTERM,
        )
        .unwrap();
        self.process.wait().unwrap().success()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What all files below a folder hold.
pub(crate) fn bytes_of(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(bytes_of(&entry.path()));
        } else {
            all.extend(std::fs::read(entry.path()).unwrap_or_default());
        }
    }
    all
}

/// Bytes of all files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            _ => entry.metadata().map_or(0, |meta| meta.len()),
        })
        .sum()
}
