//! Checkpoints: all a run needs to go on as if it had never stopped.
//!
//! The order of the data is a function of the seed and the step, so a step number stands for the position in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::optimizer::AdamW;
use crate::config::TrainConfig;
use crate::error::{EngineError, Result};
use crate::files::{checksum, create_dir, read_weights, sync_dir, write_weights, write_whole};
use crate::model::WeightSpec;

/// How many checkpoints are kept.
const KEPT: usize = 2;
const STATE_FILE: &str = "state.json";
const WEIGHTS_FILE: &str = "weights.safetensors";
const FIRST_FILE: &str = "adam_first.safetensors";
const SECOND_FILE: &str = "adam_second.safetensors";
const BEST_FILE: &str = "best.safetensors";

/// Where a run is, besides its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Steps done.
    pub(crate) step: u64,
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// Losses of the last steps.
    pub(crate) recent_losses: Vec<Exact>,
    /// Validation loss of the untrained model.
    pub(crate) val_loss_before: Option<Exact>,
    /// The last evaluation: its step and loss.
    pub(crate) last_eval: Option<(u64, Exact)>,
    /// The best evaluation: its step and loss.
    pub(crate) best_eval: Option<(u64, Exact)>,
}

/// A number kept as text: JSON numbers lose their last digit when they are read quickly, and a resumed run must compare
/// the very same losses.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Exact(pub(crate) f64);

impl From<Exact> for String {
    fn from(number: Exact) -> Self {
        number.0.to_string()
    }
}

impl TryFrom<String> for Exact {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// What must be the same for a run to continue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The options that shape the weights.
    pub(crate) options: serde_json::Value,
    /// The training tokens.
    pub(crate) train_checksum: u32,
    /// The validation tokens.
    pub(crate) val_checksum: Option<u32>,
}

impl Identity {
    /// Names a run. How long it goes, what it reports and where it computes may change on a resume.
    pub(crate) fn new(config: &TrainConfig, train_checksum: u32, val_checksum: Option<u32>) -> Self {
        let mut options = serde_json::to_value(config).unwrap_or_default();
        if let Some(options) = options.as_object_mut() {
            for free in [
                "epochs",
                "max_tokens",
                "max_steps",
                "max_seconds",
                "eval_every_steps",
                "log_every_steps",
                "checkpoint_every_steps",
                "checkpoint_every_seconds",
                "resume",
                "threads",
                "memory_limit_bytes",
            ] {
                options.remove(free);
            }
        }
        Self {
            options,
            train_checksum,
            val_checksum,
        }
    }

    fn difference(&self, other: &Self) -> Option<String> {
        if self.train_checksum != other.train_checksum || self.val_checksum != other.val_checksum {
            return Some("the data has changed".to_owned());
        }
        let (ours, theirs) = (self.options.as_object()?, other.options.as_object()?);
        ours.iter().find_map(|(key, ours)| {
            let theirs = theirs.get(key).unwrap_or(&serde_json::Value::Null);
            (ours != theirs).then(|| format!("`{key}` was {theirs} and is {ours}"))
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    progress: Progress,
    identity: Identity,
    files: Vec<FileCheck>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FileCheck {
    name: String,
    bytes: u64,
    crc32: u32,
}

/// A run's weights and place, as read back.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// The folder it was read from.
    pub(crate) path: PathBuf,
    /// Where the run was.
    pub(crate) progress: Progress,
    /// The weights.
    pub(crate) weights: Vec<Vec<f32>>,
    /// The optimiser's memory.
    pub(crate) adam: AdamW,
    /// The best weights, if they are not the last.
    pub(crate) best: Option<Vec<Vec<f32>>>,
}

/// The folder of a run's checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    dir: PathBuf,
    specs: Vec<WeightSpec>,
    identity: Identity,
}

impl Checkpoints {
    /// Names the folder; nothing is written yet.
    pub(crate) fn new(dir: PathBuf, specs: Vec<WeightSpec>, identity: Identity) -> Self {
        Self { dir, specs, identity }
    }

    /// Writes a checkpoint and removes the oldest beyond two. A crash leaves it whole or absent.
    pub(crate) fn save(
        &self,
        progress: &Progress,
        weights: &[Vec<f32>],
        adam: &AdamW,
        best: Option<&[Vec<f32>]>,
    ) -> Result<PathBuf> {
        create_dir(&self.dir)?;
        let path = self.dir.join(format!("step-{:08}", progress.step));
        let part = self.dir.join(format!(".part-step-{:08}", progress.step));
        let written = self.write(&part, progress, weights, adam, best).and_then(|()| {
            if path.exists() {
                fs::remove_dir_all(&path).map_err(EngineError::io("replace", &path))?;
            }
            fs::rename(&part, &path).map_err(EngineError::io("write", &path))
        });
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&part);
            return Err(error);
        }
        sync_dir(&self.dir);
        for old in self.found()?.into_iter().skip(KEPT) {
            fs::remove_dir_all(&old).map_err(EngineError::io("remove", &old))?;
        }
        Ok(path)
    }

    fn write(
        &self,
        part: &Path,
        progress: &Progress,
        weights: &[Vec<f32>],
        adam: &AdamW,
        best: Option<&[Vec<f32>]>,
    ) -> Result<()> {
        if part.exists() {
            fs::remove_dir_all(part).map_err(EngineError::io("remove", part))?;
        }
        create_dir(part)?;
        let mut sets = vec![
            (WEIGHTS_FILE, weights),
            (FIRST_FILE, adam.first.as_slice()),
            (SECOND_FILE, adam.second.as_slice()),
        ];
        sets.extend(best.map(|best| (BEST_FILE, best)));
        let mut files = Vec::new();
        for (name, values) in sets {
            let path = part.join(name);
            write_weights(&path, &self.specs, values)?;
            let (bytes, crc32) = checksum(&path).map_err(EngineError::io("read", &path))?;
            files.push(FileCheck {
                name: name.to_owned(),
                bytes,
                crc32,
            });
        }
        let state = State {
            version: 1,
            progress: progress.clone(),
            identity: self.identity.clone(),
            files,
        };
        let json = serde_json::to_vec_pretty(&state)
            .map_err(|error| EngineError::io("write", part)(io::Error::other(error)))?;
        write_whole(&part.join(STATE_FILE), &json)?;
        sync_dir(part);
        Ok(())
    }

    /// Lists the checkpoints' folders, newest first.
    fn found(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::io("read", &self.dir)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(EngineError::io("read", &self.dir))?;
            let name = entry.file_name();
            let step = name
                .to_str()
                .and_then(|name| name.strip_prefix("step-"))
                .and_then(|it| it.parse::<u64>().ok());
            if let Some(step) = step {
                found.push((step, entry.path()));
            }
        }
        found.sort();
        Ok(found.into_iter().rev().map(|(_, path)| path).collect())
    }

    /// Reads the newest checkpoint that is whole. `damaged` hears of those that are not.
    ///
    /// # Errors
    /// [`EngineError::CheckpointMismatch`] if it belongs to another run.
    pub(crate) fn load(&self, damaged: &mut dyn FnMut(&Path, String)) -> Result<Option<Checkpoint>> {
        for path in self.found()? {
            let state = match Self::check(&path) {
                Ok(state) => state,
                Err(why) => {
                    damaged(&path, why);
                    continue;
                }
            };
            if let Some(why) = self.identity.difference(&state.identity) {
                return Err(EngineError::CheckpointMismatch { path, why });
            }
            return self.read(path, state).map(Some);
        }
        Ok(None)
    }

    /// Reads a checkpoint's state and compares its files with what was written.
    fn check(path: &Path) -> Result<State, String> {
        let text = fs::read(path.join(STATE_FILE)).map_err(|error| format!("no {STATE_FILE}: {error}"))?;
        let state: State =
            serde_json::from_slice(&text).map_err(|error| format!("{STATE_FILE} is broken: {error}"))?;
        for file in &state.files {
            let (bytes, crc32) =
                checksum(&path.join(&file.name)).map_err(|error| format!("{}: {error}", file.name))?;
            if (bytes, crc32) != (file.bytes, file.crc32) {
                return Err(format!("{} is not what was written", file.name));
            }
        }
        Ok(state)
    }

    fn read(&self, path: PathBuf, state: State) -> Result<Checkpoint> {
        let set = |name: &str| read_weights(&path.join(name), &self.specs);
        let has_best = state.files.iter().any(|file| file.name == BEST_FILE);
        Ok(Checkpoint {
            weights: set(WEIGHTS_FILE)?,
            adam: AdamW {
                first: set(FIRST_FILE)?,
                second: set(SECOND_FILE)?,
            },
            best: has_best.then(|| set(BEST_FILE)).transpose()?,
            progress: state.progress,
            path,
        })
    }

    /// Removes what a crash left half written.
    pub(crate) fn clean(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".part-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Removes all checkpoints; for a run that starts over.
    pub(crate) fn clear(&self) -> Result<()> {
        for path in self.found()? {
            fs::remove_dir_all(&path).map_err(EngineError::io("remove", &path))?;
        }
        Ok(())
    }
}
