//! From the files of a Space to an environment that its app can run in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncRead;

use super::marker;
use crate::config::UvConfig;
use crate::jobs::{JobProcess, Launch, LinePipe, Tree};
use crate::spaces::run::AppRun;
use crate::state::Hub;

/// How long a build may take.
const BUILD: Duration = Duration::from_mins(30);
/// The longest line of a log.
pub(super) const MAX_LINE_BYTES: usize = 16 * 1024;

/// A Space that is built.
pub(super) struct Build<'a> {
    pub(super) hub: &'a Hub,
    pub(super) run: &'a AppRun,
    pub(super) uv: &'a UvConfig,
    /// The id of the run, which its processes are found by.
    pub(super) id: &'a str,
    pub(super) folder: &'a Path,
    /// The front matter of `README.md`.
    pub(super) card: &'a Value,
    pub(super) zero_gpu: bool,
}

/// Which Python and packages a Space asks for.
#[derive(Debug, PartialEq, Eq)]
struct Needs {
    python: String,
    packages: Vec<String>,
}

impl Needs {
    /// # Source
    /// The Hub's documentation of the front matter of Spaces (`python_version`, `sdk_version`); which packages the Hub adds to
    /// Gradio is not known but for `spaces` with `ZeroGPU`.
    fn of(card: &Value, zero_gpu: bool) -> Self {
        let text = |key: &str| match &card[key] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let is_version = |text: &String| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        };
        let gradio = text("sdk_version").filter(is_version);
        let mut packages =
            vec![gradio.map_or("gradio[oauth]".to_owned(), |it| format!("gradio[oauth]=={it}"))];
        if zero_gpu {
            packages.push("spaces".to_owned());
        }
        Self {
            python: text("python_version")
                .filter(is_version)
                .unwrap_or_else(|| "3.10".to_owned()),
            packages,
        }
    }
}

impl Build<'_> {
    pub(super) fn environment(&self) -> PathBuf {
        self.folder.join("env")
    }

    pub(super) fn files(&self) -> PathBuf {
        self.folder.join("app")
    }

    fn say(&self, line: impl Into<String>) {
        self.run.build_line(self.hub.clock.now_ms(), line);
    }

    /// Makes the environment and installs what the Space needs.
    ///
    /// # Errors
    /// Why not; the log has the rest.
    pub(super) async fn run(&self) -> Result<(), String> {
        tokio::time::timeout(BUILD, self.steps())
            .await
            .map_err(|_| format!("the build took longer than {} minutes", BUILD.as_secs() / 60))?
    }

    async fn steps(&self) -> Result<(), String> {
        let needs = Needs::of(self.card, self.zero_gpu);
        let place = self.environment().to_string_lossy().into_owned();
        let venv = |python: &str| {
            [
                "venv",
                "--no-config",
                "--no-python-downloads",
                "--python",
                python,
                &place,
            ]
            .map(str::to_owned)
        };
        if self.uv(&venv(&needs.python)).await.is_err() {
            self.say(format!(
                "Python {} is not on this machine; another one is taken",
                needs.python
            ));
            self.uv(&venv(">=3.10"))
                .await
                .map_err(|()| "there is no Python 3.10 or newer on this machine".to_owned())?;
        }
        let python = self.environment().join("bin").join("python");
        let mut install: Vec<String> = ["pip", "install", "--no-config", "--python"]
            .map(str::to_owned)
            .to_vec();
        install.push(python.to_string_lossy().into_owned());
        install.extend(needs.packages);
        let requirements = self.files().join("requirements.txt");
        if requirements.is_file() {
            install.push("--requirements".to_owned());
            install.push(requirements.to_string_lossy().into_owned());
        }
        for file in ["packages.txt", "pre-requirements.txt"] {
            if self.files().join(file).is_file() {
                self.say(format!("{file} is not installed on this machine"));
            }
        }
        self.uv(&install)
            .await
            .map_err(|()| "the packages could not be installed".to_owned())
    }

    /// Runs uv to its end, its output in the log.
    async fn uv(&self, arguments: &[String]) -> Result<(), ()> {
        self.say(format!("--> uv {}", arguments.join(" ")));
        let mut environment = self.uv.environment.clone();
        environment.extend(self.hub.program_environment.clone());
        let (name, id) = (super::MARKER, self.id);
        environment.insert(name.to_owned(), id.to_owned());
        let spawned = JobProcess::spawn(&Launch {
            program: &self.uv.program.to_string_lossy(),
            arguments,
            environment: &environment,
            folder: &self.files(),
            memory_limit_bytes: None,
        });
        let mut process =
            spawned.map_err(|error| self.say(format!("ERROR: uv could not be started: {error}")))?;
        let (out, err) = (process.stdout.take(), process.stderr.take());
        let status = {
            let reading = async { tokio::join!(self.read(out), self.read(err)) };
            let (status, _) = tokio::join!(process.wait(), reading);
            status
        };
        // What the build of a package left running ends with it; uv itself is gone.
        Tree::new(None, marker(self.id)).kill().await;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                self.say(format!("ERROR: uv ended with {status}"));
                Err(())
            }
            Err(error) => {
                self.say(format!("ERROR: uv could not be watched: {error}"));
                Err(())
            }
        }
    }

    async fn read(&self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(pipe) = pipe else { return };
        let mut pipe = LinePipe::new(pipe, MAX_LINE_BYTES);
        while let Some(lines) = pipe.next().await {
            for line in lines {
                self.say(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_front_matter_names_python_and_gradio_and_cannot_name_anything_else() {
        let needs = |card: Value, zero| Needs::of(&card, zero);
        let plain = needs(json!({"sdk_version": "6.31.0", "python_version": 3.12}), false);
        assert_eq!(plain.python, "3.12");
        assert_eq!(plain.packages, ["gradio[oauth]==6.31.0"]);
        let zero = needs(json!({}), true);
        assert_eq!(zero.packages, ["gradio[oauth]", "spaces"]);
        let evil = needs(
            json!({"sdk_version": "1 --index-url=http://x", "python_version": "--help"}),
            false,
        );
        assert_eq!(evil.packages, ["gradio[oauth]"]);
        assert_eq!(evil.python, "3.10");
    }
}
