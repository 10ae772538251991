//! The program of a Space whose container runs `bashgym` itself.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use hf_core::{HfError, RepoId};
use serde::{Deserialize, Serialize};

use crate::hardware::SpaceHardware;
use crate::template::TextFile;

/// Where the program lies in the Space.
pub const PROGRAM_FILE: &str = "bashgym";
/// The GNU C library of the container's image (Debian 13): a program that needs a newer one does not start there.
pub const IMAGE_GLIBC: (u32, u32) = (2, 41);

/// What answers in a Space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SpaceApp {
    /// Python's Gradio with transformers: every model they run, on every hardware.
    #[default]
    Gradio,
    /// `bashgym` in a container of its own: whole Llama and GGUF models, on the processor.
    Bashgym,
}

impl SpaceApp {
    /// Its word in `space.json` and in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gradio => "gradio",
            Self::Bashgym => "bashgym",
        }
    }

    /// What it runs on unless told otherwise.
    pub fn usual_hardware(self) -> SpaceHardware {
        match self {
            Self::Gradio => SpaceHardware::zero_gpu(),
            Self::Bashgym => SpaceHardware::cpu_basic(),
        }
    }

    /// The SDK of its Space, as the Hub names it.
    pub fn sdk(self) -> &'static str {
        match self {
            Self::Gradio => "gradio",
            Self::Bashgym => "docker",
        }
    }
}

impl fmt::Display for SpaceApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SpaceApp {
    type Err = HfError;

    fn from_str(text: &str) -> Result<Self, HfError> {
        [Self::Gradio, Self::Bashgym]
            .into_iter()
            .find(|app| app.as_str() == text)
            .ok_or_else(|| HfError::invalid(format!("{text:?} is no app; apps are gradio and bashgym")))
    }
}

/// A `bashgym` that can be put into a Space. It is a large file, which travels another way than the template's small ones.
#[async_trait]
pub trait SpaceProgram: Send + Sync {
    /// Sees that it starts in the Space's container, before anything is made. Gives back what whoever sends it should know, if
    /// there is something.
    ///
    /// # Errors
    /// Why it would not, in words.
    async fn check(&self) -> Result<Option<String>, String>;

    /// Commits it as [`PROGRAM_FILE`] together with `files`; gives back the commit.
    ///
    /// # Errors
    /// [`HfError::PreconditionFailed`] when the Space is not at `parent` any more; else what uploads fail with.
    async fn commit(
        &self,
        space: &RepoId,
        files: &[TextFile],
        summary: &str,
        parent: Option<&str>,
    ) -> Result<String, HfError>;
}

/// The program of a deployment, shared.
pub type Program = Arc<dyn SpaceProgram>;
