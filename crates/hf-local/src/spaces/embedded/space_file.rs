//! What a Space of the template serves, as its `space.json` says it.

use serde::Deserialize;

use crate::repos::{RepoId, RepoKind};

/// The file.
pub(super) const NAME: &str = "space.json";
/// The newest form this runtime reads.
const FORM: u32 = 1;
/// Tokens of an answer where the visitor does not say.
const USUAL_TOKENS: u32 = 256;

/// The file of a Space. Keys that are not listed are passed over.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::spaces) struct SpaceFile {
    pub(super) form: u32,
    #[serde(default)]
    pub(super) title: String,
    pub(super) model: Pinned,
    #[serde(default)]
    pub(super) adapter: Option<Pinned>,
    pub(super) shown: Pinned,
    pub(super) limits: Limits,
}

/// A repository at one commit.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pinned {
    pub(super) repo_id: String,
    pub(super) revision: String,
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
    /// Reads the file; none when it is of another making.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The repository of the model.
    ///
    /// # Errors
    /// Why this runtime does not serve it.
    pub(super) fn servable(&self) -> Result<RepoId, String> {
        if self.form > FORM {
            return Err(format!(
                "{NAME} has the form {}, and this Hub reads up to {FORM}: update it",
                self.form
            ));
        }
        if let Some(adapter) = &self.adapter {
            return Err(format!(
                "{} is an adapter: the embedded runtime loads whole models only, merge it first",
                adapter.repo_id
            ));
        }
        let (namespace, name) = self
            .model
            .repo_id
            .split_once('/')
            .ok_or_else(|| format!("{:?} names no repository", self.model.repo_id))?;
        Ok(RepoId::new(RepoKind::Model, namespace, name))
    }
}
