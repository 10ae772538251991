//! The stages of a Space.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a Space is in its life.
///
/// # Source
/// `huggingface_hub` 2.4.0 `_space_api.py` `SpaceStage`; `SLEEPING` from huggingface.js and the lists of the Hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum SpaceStage {
    /// The repository has no application file.
    NoAppFile,
    /// The front matter of its README is wrong.
    ConfigError,
    /// The image is built.
    Building,
    /// The build failed.
    BuildError,
    /// The app answers.
    Running,
    /// The app of the commit before answers, while the new one is built.
    RunningBuilding,
    /// The app ended or did not start.
    RuntimeError,
    /// It is being removed.
    Deleting,
    /// Stopped.
    Stopped,
    /// Paused by its owner; nothing is billed.
    Paused,
    /// Asleep after a time without visitors; the next request wakes it.
    Sleeping,
    /// Built, the app starts.
    AppStarting,
    /// The app of the commit before answers, while the new one starts.
    RunningAppStarting,
    /// A word this version does not know.
    Unknown(String),
}

impl SpaceStage {
    /// The Hub's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NoAppFile => "NO_APP_FILE",
            Self::ConfigError => "CONFIG_ERROR",
            Self::Building => "BUILDING",
            Self::BuildError => "BUILD_ERROR",
            Self::Running => "RUNNING",
            Self::RunningBuilding => "RUNNING_BUILDING",
            Self::RuntimeError => "RUNTIME_ERROR",
            Self::Deleting => "DELETING",
            Self::Stopped => "STOPPED",
            Self::Paused => "PAUSED",
            Self::Sleeping => "SLEEPING",
            Self::AppStarting => "APP_STARTING",
            Self::RunningAppStarting => "RUNNING_APP_STARTING",
            Self::Unknown(word) => word,
        }
    }

    /// Whether it changes by itself before long. A stage this version does not know counts as changing.
    pub fn is_changing(&self) -> bool {
        matches!(
            self,
            Self::Building
                | Self::RunningBuilding
                | Self::AppStarting
                | Self::RunningAppStarting
                | Self::Unknown(_)
        )
    }

    /// Whether some version of the app answers now.
    pub fn is_serving(&self) -> bool {
        matches!(
            self,
            Self::Running | Self::RunningBuilding | Self::RunningAppStarting
        )
    }

    /// Whether it ended in a failure that a new commit or a restart has to mend.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::NoAppFile | Self::ConfigError | Self::BuildError | Self::RuntimeError
        )
    }
}

impl Default for SpaceStage {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

impl From<String> for SpaceStage {
    fn from(word: String) -> Self {
        match word.as_str() {
            "NO_APP_FILE" => Self::NoAppFile,
            "CONFIG_ERROR" => Self::ConfigError,
            "BUILDING" => Self::Building,
            "BUILD_ERROR" => Self::BuildError,
            "RUNNING" => Self::Running,
            "RUNNING_BUILDING" => Self::RunningBuilding,
            "RUNTIME_ERROR" => Self::RuntimeError,
            "DELETING" => Self::Deleting,
            "STOPPED" => Self::Stopped,
            "PAUSED" => Self::Paused,
            "SLEEPING" => Self::Sleeping,
            "APP_STARTING" => Self::AppStarting,
            "RUNNING_APP_STARTING" => Self::RunningAppStarting,
            _ => Self::Unknown(word),
        }
    }
}

impl From<SpaceStage> for String {
    fn from(stage: SpaceStage) -> Self {
        match stage {
            SpaceStage::Unknown(word) => word,
            known => known.as_str().to_owned(),
        }
    }
}

impl fmt::Display for SpaceStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_and_written_and_unknown_ones_are_kept() {
        for (word, changing, serving, failure) in [
            ("NO_APP_FILE", false, false, true),
            ("CONFIG_ERROR", false, false, true),
            ("BUILDING", true, false, false),
            ("BUILD_ERROR", false, false, true),
            ("RUNNING", false, true, false),
            ("RUNNING_BUILDING", true, true, false),
            ("RUNTIME_ERROR", false, false, true),
            ("DELETING", false, false, false),
            ("STOPPED", false, false, false),
            ("PAUSED", false, false, false),
            ("SLEEPING", false, false, false),
            ("APP_STARTING", true, false, false),
            ("RUNNING_APP_STARTING", true, true, false),
            ("HIBERNATING", true, false, false),
        ] {
            let stage: SpaceStage = serde_json::from_value(word.into()).unwrap();
            assert_eq!(
                (stage.is_changing(), stage.is_serving(), stage.is_failure()),
                (changing, serving, failure),
                "{word}"
            );
            assert_eq!(serde_json::to_value(&stage).unwrap(), word);
            assert_eq!(matches!(stage, SpaceStage::Unknown(_)), word == "HIBERNATING");
        }
    }
}
