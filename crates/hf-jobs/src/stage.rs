//! The stages of a job.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job is in its life.
///
/// # Source
/// Hub OpenAPI; `huggingface_hub` 2.4.0 `_jobs_api.py` `JobStage`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum JobStage {
    /// Waits for hardware, or its image is being fetched.
    Scheduling,
    /// Runs.
    Running,
    /// Ended with exit code 0.
    Completed,
    /// Canceled by its owner, or for lack of credit.
    Canceled,
    /// Ended with another exit code, or was killed.
    Error,
    /// Removed.
    Deleted,
    /// A word this version does not know.
    Unknown(String),
}

impl JobStage {
    /// The Hub's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Scheduling => "SCHEDULING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
            Self::Error => "ERROR",
            Self::Deleted => "DELETED",
            Self::Unknown(word) => word,
        }
    }

    /// Whether the job will not change any more. A stage this version does not know counts as not over.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Completed | Self::Canceled | Self::Error | Self::Deleted => true,
            Self::Scheduling | Self::Running | Self::Unknown(_) => false,
        }
    }
}

impl Default for JobStage {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

impl From<String> for JobStage {
    fn from(word: String) -> Self {
        match word.as_str() {
            "SCHEDULING" => Self::Scheduling,
            "RUNNING" => Self::Running,
            "COMPLETED" => Self::Completed,
            "CANCELED" => Self::Canceled,
            "ERROR" => Self::Error,
            "DELETED" => Self::Deleted,
            _ => Self::Unknown(word),
        }
    }
}

impl From<JobStage> for String {
    fn from(stage: JobStage) -> Self {
        match stage {
            JobStage::Unknown(word) => word,
            known => known.as_str().to_owned(),
        }
    }
}

impl FromStr for JobStage {
    type Err = Infallible;

    /// Reads a stage, in any case; what is not known is kept.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let upper = text.to_ascii_uppercase();
        Ok(match Self::from(upper) {
            Self::Unknown(_) => Self::Unknown(text.to_owned()),
            known => known,
        })
    }
}

impl fmt::Display for JobStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_and_written_and_unknown_ones_are_kept() {
        for (word, over) in [
            ("SCHEDULING", false),
            ("RUNNING", false),
            ("COMPLETED", true),
            ("CANCELED", true),
            ("ERROR", true),
            ("DELETED", true),
            ("HIBERNATING", false),
        ] {
            let stage: JobStage = serde_json::from_value(word.into()).unwrap();
            assert_eq!(stage.is_terminal(), over, "{word}");
            assert_eq!(serde_json::to_value(&stage).unwrap(), word);
            assert_eq!(matches!(stage, JobStage::Unknown(_)), word == "HIBERNATING");
        }
        assert_eq!("running".parse::<JobStage>(), Ok(JobStage::Running));
    }
}
