//! What a Space of the template serves, as its `space.json` says it.

use serde::Deserialize;

use super::error::SpaceAppError;

/// The newest form this runtime reads.
const FORM: u32 = 2;
/// Tokens of an answer where the visitor does not say.
const USUAL_TOKENS: u32 = 256;

/// The file of a Space. Keys that are not listed are passed over.
#[derive(Clone, Debug, Deserialize)]
pub struct SpaceFile {
    pub(super) form: u32,
    #[serde(default)]
    pub(super) title: String,
    pub(crate) model: Pinned,
    #[serde(default)]
    pub(super) adapter: Option<Pinned>,
    pub(crate) shown: Pinned,
    pub(super) limits: Limits,
}

/// A repository at one commit.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pinned {
    pub(crate) repo_id: String,
    pub(crate) revision: String,
}

/// What a visitor may ask for.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Limits {
    pub(super) max_prompt_chars: u32,
    pub(super) max_new_tokens: u32,
}

impl Limits {
    /// The tokens of an answer where the visitor does not say.
    pub(super) fn usual_tokens(self) -> u32 {
        USUAL_TOKENS.min(self.max_new_tokens)
    }
}

impl SpaceFile {
    /// Its path in the Space.
    pub const NAME: &str = "space.json";

    /// Reads the file.
    ///
    /// # Errors
    /// [`SpaceAppError::SpaceFile`] when it is of another making.
    pub fn parse(text: &str) -> Result<Self, SpaceAppError> {
        serde_json::from_str(text).map_err(SpaceAppError::SpaceFile)
    }

    /// The repository and the commit of the model.
    ///
    /// # Errors
    /// [`SpaceAppError::NotServable`] says why a model in this process does not serve it.
    pub fn model(&self) -> Result<(&str, &str), SpaceAppError> {
        if self.form > FORM {
            return Err(SpaceAppError::NotServable(format!(
                "{} has the form {}, and this program reads up to {FORM}: update it",
                Self::NAME,
                self.form
            )));
        }
        if let Some(adapter) = &self.adapter {
            return Err(SpaceAppError::NotServable(format!(
                "{} is an adapter: this runtime loads whole models only, merge it first",
                adapter.repo_id
            )));
        }
        if !self.model.repo_id.contains('/') {
            return Err(SpaceAppError::NotServable(format!(
                "{:?} names no repository",
                self.model.repo_id
            )));
        }
        Ok((&self.model.repo_id, &self.model.revision))
    }
}
