//! Scripts run by `uv`: the Hub has no such thing, so a script becomes a job like any other.

mod bucket;
mod folder;
mod ship;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hf_core::HfError;

use crate::info::JobInfo;
use crate::naming::{self, NAME};
use crate::runner::HfJobRunner;
use crate::spec::{JobSpec, holds_token};

/// The image scripts run in unless another is named.
///
/// # Source
/// `huggingface_hub` 2.4.0 `_jobs_api.py`, `DEFAULT_UV_IMAGE`.
pub const DEFAULT_UV_IMAGE: &str = "ghcr.io/astral-sh/uv:python3.12-bookworm";

/// Where a script's files appear in the job.
const MOUNT_PATH: &str = "/data";
/// Names with these endings are files, and wrong if there are none.
const FILE_ENDINGS: [&str; 5] = ["py", "sh", "yaml", "yml", "toml"];
/// The largest file that is looked through for a token.
const MAX_LOOKED_THROUGH: u64 = 16 << 20;

/// A script and how `uv` runs it.
///
/// # Source
/// `huggingface_hub` 2.4.0 `hf_api.py`, `run_uv_job`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UvScript {
    /// A file here, an address, or a command `uv run` knows.
    pub script: String,
    /// Its arguments. Those that name a file here are shipped with it.
    pub arguments: Vec<String>,
    /// Packages it needs beside those it names itself.
    pub dependencies: Vec<String>,
    /// The Python it needs.
    pub python: Option<String>,
}

impl UvScript {
    /// A script without anything else.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            ..Self::default()
        }
    }

    fn words(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.script).chain(&self.arguments)
    }

    /// `uv run …` with the script and arguments by the names the job knows them by.
    fn command(&self, names: &BTreeMap<&str, String>) -> Vec<String> {
        let mut command = vec!["uv".to_owned(), "run".to_owned()];
        for dependency in &self.dependencies {
            command.extend(["--with".to_owned(), dependency.clone()]);
        }
        if let Some(python) = &self.python {
            command.extend(["--python".to_owned(), python.clone()]);
        }
        command.extend(self.words().map(|word| match names.get(word.as_str()) {
            Some(name) => format!("{MOUNT_PATH}/{name}"),
            None => word.clone(),
        }));
        command
    }
}

impl JobSpec {
    /// A job in the image for scripts. [`HfJobRunner::prepare_uv`] fills in its command.
    pub fn uv() -> Self {
        Self::docker::<String>(DEFAULT_UV_IMAGE, [])
    }
}

impl HfJobRunner {
    /// Runs a script as a job; see [`HfJobRunner::prepare_uv`] and [`HfJobRunner::run`].
    ///
    /// # Errors
    /// As of both.
    pub async fn run_uv(&self, script: &UvScript, spec: JobSpec) -> Result<JobInfo, HfError> {
        let spec = self.prepare_uv(script, spec).await?;
        self.run(&spec).await
    }

    /// Makes `spec` a job that runs a script: sets its command and, unless it has one, its name.
    ///
    /// Files on this machine pass the gate ([`HfJobRunner::with_gate`]) and are sent first: into the private bucket `jobs-artifacts` of the namespace, made if it is not there, and
    /// from there mounted at `/data`. Nothing is submitted here.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when a file is missing, holds a Hugging Face token, or `/data` is taken; what sending the files
    /// can bring.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `hf_api.py`, `_create_uv_command_env_and_secrets`.
    pub async fn prepare_uv(&self, script: &UvScript, mut spec: JobSpec) -> Result<JobSpec, HfError> {
        if script.script.is_empty() {
            return Err(HfError::invalid("no script is named"));
        }
        if !spec.labels.contains_key(NAME) {
            let name = naming::of_script(&script.script, &script.arguments);
            spec.labels.insert(NAME.to_owned(), name);
        }
        let files = local_files(script).await?;
        let names = remote_names(&files);
        spec.command = script.command(&names);
        spec.arguments.clear();
        if names.is_empty() {
            return Ok(spec);
        }
        if spec.volumes.iter().any(|volume| volume.mount_path == MOUNT_PATH) {
            return Err(HfError::invalid(format!(
                "{MOUNT_PATH} is where the script's files are mounted; mount your volume at another path"
            )));
        }
        // Nothing is sent for a job that would be refused.
        self.check(&spec)?;
        let files: Vec<(PathBuf, String)> = names
            .into_iter()
            .map(|(local, remote)| (PathBuf::from(local), remote))
            .collect();
        let volume = ship::ship(self, files, MOUNT_PATH, false).await?;
        spec.volumes.push(volume);
        Ok(spec)
    }
}

/// The words of a script's command line that are files here.
async fn local_files(script: &UvScript) -> Result<Vec<&str>, HfError> {
    let mut files: Vec<&str> = Vec::new();
    let mut missing = BTreeSet::new();
    for word in script.words() {
        let path = Path::new(word);
        match tokio::fs::metadata(path).await {
            Ok(found) if found.is_file() => {
                if !files.contains(&word.as_str()) {
                    refuse_token(path, found.len()).await?;
                    files.push(word);
                }
            }
            _ => {
                let ending = path.extension().and_then(|ending| ending.to_str());
                let address = word.starts_with("https://") || word.starts_with("http://");
                if !address && ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending)) {
                    missing.insert(word.as_str());
                }
            }
        }
    }
    if missing.is_empty() {
        return Ok(files);
    }
    let missing: Vec<&str> = missing.into_iter().collect();
    Err(HfError::invalid(format!("no such file: {}", missing.join(", "))))
}

/// A token in a script would lie in a bucket for as long as that is kept.
async fn refuse_token(path: &Path, size: u64) -> Result<(), HfError> {
    if size > MAX_LOOKED_THROUGH {
        return Ok(());
    }
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|error| HfError::io(format!("read {}", path.display()), error))?;
    if holds_token(&String::from_utf8_lossy(&bytes)) {
        return Err(HfError::invalid(format!(
            "{} holds a Hugging Face token; pass it as a secret and read it from the environment",
            path.display()
        )));
    }
    Ok(())
}

/// The names files get in the job: their own, without spaces, and a number where two are the same.
fn remote_names<'a>(files: &[&'a str]) -> BTreeMap<&'a str, String> {
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for file in files {
        let path = Path::new(file);
        let plain = path
            .file_name()
            .map(|name| name.to_string_lossy().replace(' ', "_"))
            .unwrap_or_default();
        let mut name = plain.clone();
        let mut number = 0;
        while !taken.insert(name.clone()) {
            name = match plain.rsplit_once('.') {
                Some((stem, ending)) if !stem.is_empty() => format!("{stem}({number}).{ending}"),
                _ => format!("{plain}({number})"),
            };
            number += 1;
        }
        names.insert(*file, name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_official_client_s() {
        let script = UvScript {
            script: "https://h.co/sft.py".into(),
            arguments: vec!["--epochs".into(), "3".into()],
            dependencies: vec!["trl".into(), "torch>=2".into()],
            python: Some("3.12".into()),
        };
        assert_eq!(
            script.command(&BTreeMap::new()).join(" "),
            "uv run --with trl --with torch>=2 --python 3.12 https://h.co/sft.py --epochs 3"
        );
        let local = UvScript {
            script: "/tmp/a b.py".into(),
            arguments: vec!["c.toml".into(), "x".into()],
            ..UvScript::default()
        };
        let names = remote_names(&["/tmp/a b.py", "c.toml"]);
        assert_eq!(
            local.command(&names),
            ["uv", "run", "/data/a_b.py", "/data/c.toml", "x"]
        );
    }

    #[test]
    fn files_of_one_name_get_numbers() {
        let names = remote_names(&["a/x.py", "b/x.py", "c/x.py", "d/x", "e/x"]);
        assert_eq!(
            names.into_values().collect::<Vec<_>>(),
            ["x.py", "x(0).py", "x(1).py", "x", "x(0)"]
        );
    }

    #[tokio::test]
    async fn a_missing_file_and_a_token_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("train.py");
        std::fs::write(&file, format!("token = 'hf_{}'", "aB3".repeat(12))).unwrap();
        let telling = UvScript::new(file.to_str().unwrap());
        assert!(
            local_files(&telling)
                .await
                .unwrap_err()
                .to_string()
                .contains("token")
        );
        let missing = UvScript::new("no/such/train.py");
        assert!(
            local_files(&missing)
                .await
                .unwrap_err()
                .to_string()
                .contains("no such file")
        );
        assert!(local_files(&UvScript::new("lighteval")).await.unwrap().is_empty());
        assert!(
            local_files(&UvScript::new("https://h.co/x.py"))
                .await
                .unwrap()
                .is_empty()
        );
    }
}
