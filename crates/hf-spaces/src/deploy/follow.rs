//! Waiting until a Space serves a commit.

use std::time::Duration;

use hf_core::RepoId;

use super::plan::hub;
use super::{DeployCause, DeployEvent, DeployOptions};
use crate::hardware::SpaceHardware;
use crate::logs::{SpaceLog, telling_lines};
use crate::manager::HfSpaceManager;
use crate::runtime::SpaceRuntime;
use crate::stage::SpaceStage;

/// How many looks in a row may fail before waiting gives up.
const MAX_FAILED_LOOKS: u32 = 5;
/// How many looks a settled stage may still be that of the commit before.
const STALE_LOOKS: u32 = 12;
/// Lines of a log that are shown.
const TELLING: usize = 12;
/// Lines of a log that are read.
const READ: usize = 2_000;

impl HfSpaceManager {
    /// Waits until the Space runs `commit`, on `hardware`.
    pub(super) async fn until_running(
        &self,
        id: &RepoId,
        commit: Option<&str>,
        hardware: Option<&SpaceHardware>,
        options: &DeployOptions,
    ) -> Result<SpaceRuntime, DeployCause> {
        let clock = self.client().clock().clone();
        let start = clock.elapsed();
        let (mut failed, mut stale) = (0, 0);
        let mut seen: Option<SpaceStage> = None;
        loop {
            match self.get_space_status(id).await {
                Ok(runtime) => {
                    failed = 0;
                    if seen.as_ref() != Some(&runtime.stage) {
                        options.tell(DeployEvent::Stage(runtime.stage.clone()));
                        seen = Some(runtime.stage.clone());
                    }
                    let other_commit =
                        matches!((&runtime.sha, commit), (Some(runs), Some(wanted)) if runs != wanted);
                    // Before its first build a Space has no commit that runs, and a stage that is soon another.
                    let no_build_yet = runtime.sha.is_none() && runtime.stage.is_failure();
                    if runtime.stage.is_changing() {
                        stale = 0;
                    } else if (other_commit || no_build_yet) && stale < STALE_LOOKS {
                        // The build of a commit begins some time after it.
                        stale += 1;
                    } else {
                        return settled(runtime, other_commit, hardware);
                    }
                }
                Err(error) if error.is_transient() && failed < MAX_FAILED_LOOKS => failed += 1,
                Err(error) => return Err(hub("show the state of the Space")(error)),
            }
            let waited = clock.elapsed().saturating_sub(start);
            if waited >= options.timeout {
                return Err(DeployCause::TimedOut {
                    stage: seen.unwrap_or_default(),
                    seconds: waited.as_secs(),
                });
            }
            clock
                .sleep(
                    options
                        .poll
                        .min(options.timeout.saturating_sub(waited))
                        .max(Duration::from_millis(1)),
                )
                .await;
        }
    }

    /// The lines of the log that tell why it failed; none when the log can not be read.
    pub(super) async fn explain(&self, id: &RepoId, cause: &DeployCause) -> Vec<String> {
        let log = match cause {
            DeployCause::Ended { stage, .. } | DeployCause::TimedOut { stage, .. } => match stage {
                SpaceStage::BuildError | SpaceStage::Building | SpaceStage::RunningBuilding => {
                    SpaceLog::Build
                }
                _ => SpaceLog::Run,
            },
            DeployCause::Smoke(_) => SpaceLog::Run,
            _ => return Vec::new(),
        };
        match self.recent_logs(id, log, READ).await {
            Ok(lines) => telling_lines(&lines, TELLING),
            Err(_) => Vec::new(),
        }
    }
}

fn settled(
    runtime: SpaceRuntime,
    other_commit: bool,
    hardware: Option<&SpaceHardware>,
) -> Result<SpaceRuntime, DeployCause> {
    if runtime.stage != SpaceStage::Running {
        return Err(DeployCause::Ended {
            stage: runtime.stage,
            message: runtime.error_message,
        });
    }
    if other_commit {
        return Err(DeployCause::Ended {
            stage: runtime.stage,
            message: Some("it still runs the commit before, and no build of the new one began".to_owned()),
        });
    }
    let got = runtime
        .hardware
        .current
        .as_deref()
        .or(runtime.hardware.requested.as_deref());
    match (hardware, got) {
        (Some(wanted), Some(got)) if !is_same(wanted, got) => Err(DeployCause::OtherHardware {
            wanted: wanted.to_string(),
            got: got.to_owned(),
        }),
        _ => Ok(runtime),
    }
}

pub(super) fn is_same(wanted: &SpaceHardware, got: &str) -> bool {
    got.parse::<SpaceHardware>().is_ok_and(|got| got == *wanted)
}
