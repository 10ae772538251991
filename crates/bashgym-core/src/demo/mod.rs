//! The demo: a run over sample sessions on the embedded Hub of this machine, for whoever has no sessions yet.
//!
//! It is a run like any other, by [`crate::run::RunService`]; only its sessions are made up.

mod samples;

use std::path::{Path, PathBuf};

use self::samples::SAMPLES;
use crate::CoreError;
use crate::run::{RunRecord, RunSpec, Target};
use crate::trainer::{Preset, TrainerConfig};

/// The demo's dataset repository.
const DATASET: &str = "bashgym-demo-sessions";
/// The demo's model repository.
const MODEL: &str = "bashgym-demo-student";
/// How long the demo trains unless it is told otherwise (seconds): enough for words, and minutes on a slow machine.
pub const TRAINING_SECONDS: u64 = 150;
/// How many completions are sampled from the student.
const SAMPLED: u32 = 3;

/// What may be chosen of a demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DemoOptions {
    /// The size of the student.
    pub preset: Option<Preset>,
    /// Seconds of training at most.
    pub max_seconds: Option<u64>,
}

/// Where the sample sessions lie below a folder for work.
pub fn demo_sessions(work: &Path) -> PathBuf {
    work.join("demo-sessions")
}

/// Writes the sample sessions, each whole or not at all; those that are there stay.
///
/// # Errors
/// [`CoreError::Io`].
pub fn write_samples(folder: &Path) -> Result<(), CoreError> {
    for sample in SAMPLES {
        let path = folder.join(sample.path);
        if path.is_file() {
            continue;
        }
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(CoreError::io("make the folder", parent))?;
        let growing = path.with_extension("part");
        std::fs::write(&growing, sample.content).map_err(CoreError::io("write", &growing))?;
        std::fs::rename(&growing, &path).map_err(CoreError::io("write", &path))?;
    }
    Ok(())
}

/// What a demo is asked to do, or none on a Hub that is not this machine's own: a demo spends nothing and leaves nothing
/// in an account.
pub fn demo_spec(target: &Target, work: &Path, options: DemoOptions) -> Option<RunSpec> {
    if target.hub != Target::EMBEDDED {
        return None;
    }
    Some(RunSpec {
        target: target.clone(),
        inputs: vec![demo_sessions(work)],
        dataset_repo: format!("{}/{DATASET}", target.namespace),
        model_repo: format!("{}/{MODEL}", target.namespace),
        val_fraction: 0.1,
        flavor: "cpu-basic".to_owned(),
        training: TrainerConfig {
            preset: options.preset.unwrap_or_default(),
            seed: 42,
            max_seconds: Some(options.max_seconds.unwrap_or(TRAINING_SECONDS)),
            ..TrainerConfig::default()
        },
        samples: SAMPLED,
        source: None,
    })
}

/// Whether a run is a demo.
pub fn is_demo(run: &RunRecord, work: &Path) -> bool {
    run.spec.inputs == [demo_sessions(work)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use bashgym_traces::find_session_files;

    use super::samples::SAMPLES;
    use super::{DemoOptions, demo_sessions, demo_spec, is_demo, write_samples};
    use crate::run::{RunRecord, Target};

    #[test]
    fn the_samples_are_the_sessions_of_the_fixtures() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sessions");
        let there: BTreeSet<String> = find_session_files(std::slice::from_ref(&root))
            .unwrap()
            .into_iter()
            .map(|file| file.path.strip_prefix(&root).unwrap().display().to_string())
            .collect();
        let listed: BTreeSet<String> = SAMPLES.iter().map(|sample| sample.path.to_owned()).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn samples_are_written_once_and_are_sessions() {
        let work = tempfile::tempdir().unwrap();
        let folder = demo_sessions(work.path());
        write_samples(&folder).unwrap();
        write_samples(&folder).unwrap();
        assert_eq!(find_session_files(&[folder]).unwrap().len(), SAMPLES.len());
    }

    #[test]
    fn a_demo_runs_on_this_machine_only() {
        let work = Path::new("/w");
        let target = |hub: &str| Target {
            hub: hub.to_owned(),
            namespace: "me".to_owned(),
        };
        let options = DemoOptions::default();
        assert_eq!(demo_spec(&target("https://hub.example"), work, options), None);
        let spec = demo_spec(&target(Target::EMBEDDED), work, options).unwrap();
        assert_eq!(spec.model_repo, "me/bashgym-demo-student");
        let mut run = RunRecord::new(spec, jiff::Timestamp::UNIX_EPOCH);
        assert!(is_demo(&run, work));
        run.spec.inputs.clear();
        assert!(!is_demo(&run, work));
    }
}
