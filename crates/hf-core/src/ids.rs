//! Names and ids: parsed once, then carried as types.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::encode::encode_segment;
use crate::error::HfError;

/// The kind of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoType {
    /// A model, the Hub's default.
    #[default]
    Model,
    /// A dataset.
    Dataset,
    /// A Space.
    Space,
}

impl RepoType {
    /// The word in bodies: `model`, `dataset`, `space`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
        }
    }

    /// The path segment after `/api/`: `models`, `datasets`, `spaces`.
    pub fn api_segment(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
            Self::Space => "spaces",
        }
    }

    /// What stands before the repository id on web routes: nothing for models, else `datasets/` or `spaces/`.
    pub fn url_prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
        }
    }
}

impl fmt::Display for RepoType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RepoType {
    type Err = HfError;

    /// Reads `model`, `dataset` or `space`, plural too.
    fn from_str(text: &str) -> Result<Self, HfError> {
        match text {
            "model" | "models" => Ok(Self::Model),
            "dataset" | "datasets" => Ok(Self::Dataset),
            "space" | "spaces" => Ok(Self::Space),
            other => Err(HfError::invalid(format!(
                "{other:?} is no repository type; expected model, dataset or space"
            ))),
        }
    }
}

/// Longest name of a namespace or repository.
const MAX_NAME_CHARS: usize = 96;

/// Checks one name of a repository id against the Hub's rules.
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_validators.py` `validate_repo_id`.
fn check_name(what: &str, name: &str) -> Result<(), HfError> {
    let refuse = |why: &str| Err(HfError::invalid(format!("{what} {name:?} {why}")));
    if name.is_empty() {
        return Err(HfError::invalid(format!("{what} is empty")));
    }
    if name.len() > MAX_NAME_CHARS {
        return refuse("is longer than 96 characters");
    }
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    {
        return refuse("holds something else than letters, digits, '-', '_' and '.'");
    }
    if name.starts_with(['-', '.']) || name.ends_with(['-', '.']) {
        return refuse("starts or ends with '-' or '.'");
    }
    if name.contains("--") || name.contains("..") {
        return refuse("holds '--' or '..'");
    }
    Ok(())
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = HfError;

            fn from_str(text: &str) -> Result<Self, HfError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = HfError;

            fn try_from(text: String) -> Result<Self, HfError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A user, an organisation or a resource group: who owns repositories and pays for jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

impl Namespace {
    /// Reads a namespace.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming the rule it breaks.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        check_name("the namespace", text)?;
        Ok(Self(text.to_owned()))
    }
}

text_type!(Namespace);

/// A repository's name: `namespace/name`, or a bare `name` for a few very old models.
///
/// ```
/// let repo: hf_core::RepoId = "ada/tiny-student".parse().unwrap();
/// assert_eq!(repo.namespace(), Some("ada"));
/// assert_eq!(repo.name(), "tiny-student");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoId(String);

impl RepoId {
    /// Reads a repository id.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming the rule it breaks.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        let name = match text.split_once('/') {
            Some((namespace, name)) => {
                check_name("the namespace of the repository id", namespace)?;
                name
            }
            None => text,
        };
        if name.contains('/') {
            return Err(HfError::invalid(format!(
                "the repository id {text:?} has more than two parts"
            )));
        }
        check_name("the repository name", name)?;
        if name.to_ascii_lowercase().ends_with(".git") {
            return Err(HfError::invalid(format!(
                "the repository name {name:?} ends with .git"
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// Joins a namespace and a name.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming the rule the name breaks.
    pub fn new(namespace: &Namespace, name: &str) -> Result<Self, HfError> {
        Self::parse(&format!("{namespace}/{name}"))
    }

    /// Reads a name that may lack its namespace: `x` in `ada` is `ada/x`, `b/x` stays what it is.
    ///
    /// ```
    /// let ada = hf_core::Namespace::parse("ada").unwrap();
    /// assert_eq!(hf_core::RepoId::within(&ada, "x").unwrap().as_str(), "ada/x");
    /// assert_eq!(hf_core::RepoId::within(&ada, "lab/x").unwrap().as_str(), "lab/x");
    /// ```
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming the rule it breaks.
    pub fn within(namespace: &Namespace, name: &str) -> Result<Self, HfError> {
        if name.contains('/') {
            Self::parse(name)
        } else {
            Self::new(namespace, name)
        }
    }

    /// The part before the slash.
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once('/').map(|(namespace, _)| namespace)
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The API path of this repository: `/api/datasets/ada/logs`.
    pub fn api_path(&self, repo_type: RepoType) -> String {
        format!("/api/{}/{}", repo_type.api_segment(), self.0)
    }
}

text_type!(RepoId);

/// A branch, a tag or a commit.
///
/// In a path it is one segment: see [`Revision::encoded`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

impl Revision {
    /// Reads a revision.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when git could not have such a name.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        let refuse = |why: &str| Err(HfError::invalid(format!("the revision {text:?} {why}")));
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() > 255 {
            return refuse("is longer than 255 bytes");
        }
        if text
            .chars()
            .any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\'))
        {
            return refuse("holds a character git does not allow in a name");
        }
        let parts_are_good = text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none());
        if !parts_are_good || text.contains("..") || text.contains("@{") || text.ends_with('.') || text == "@"
        {
            return refuse("is no name git allows");
        }
        Ok(Self(text.to_owned()))
    }

    /// The branch `main`.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// Whether this is a full commit id: 40 lower-case hexadecimal digits.
    pub fn is_oid(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The revision as one path segment: `refs%2Fpr%2F1`.
    pub fn encoded(&self) -> String {
        encode_segment(&self.0)
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self::main()
    }
}

text_type!(Revision);

/// A job's id.
///
/// The Hub gives 24 hexadecimal digits; any short word that can stand in a path is read, since the id is the server's to choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

impl JobId {
    /// Reads a job id.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when it is empty, long, or holds something else than letters, digits, `-` and `_`.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        let good = (1..=MAX_NAME_CHARS).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(HfError::invalid(format!(
                "{:?} is no job id; expected something like 66aa00bb11cc22dd33ee5501",
                text.chars().take(MAX_NAME_CHARS).collect::<String>()
            )))
        }
    }
}

text_type!(JobId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_ids_follow_the_hub_s_rules() {
        let longest = "a".repeat(96);
        for good in ["gpt2", "ada/x", "Ada_1/x.y-z_0", "a/0", &format!("ada/{longest}")] {
            assert_eq!(RepoId::parse(good).unwrap().as_str(), good);
        }
        let too_long = format!("ada/{longest}a");
        for bad in [
            "", "/", "a/", "/a", "a/b/c", "a b", "a/b--c", "a/b..c", "-a/b", "a/-b", "a/b-", "a/.b", "a/b.",
            "../b", "a/..", "a/b.git", "a/b.GIT", "a/é", "a/b?c", "a/b%2f", &too_long,
        ] {
            assert!(RepoId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn revisions_are_one_segment() {
        assert_eq!(Revision::parse("refs/pr/1").unwrap().encoded(), "refs%2Fpr%2F1");
        assert!(Revision::parse(&"a1".repeat(20)).unwrap().is_oid());
        assert!(!Revision::main().is_oid());
        for bad in [
            "", "a b", "a..b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a~1", "x\ny", "@", "a.",
        ] {
            assert!(Revision::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn job_ids_can_stand_in_a_path() {
        assert!(JobId::parse("66aa00bb11cc22dd33ee5501").is_ok());
        for bad in ["", "a/b", "..", "a b", "é"] {
            assert!(JobId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_checked_when_read_from_json() {
        assert!(serde_json::from_str::<RepoId>("\"a/b\"").is_ok());
        assert!(serde_json::from_str::<RepoId>("\"a/../b\"").is_err());
        assert_eq!(serde_json::to_string(&Revision::main()).unwrap(), "\"main\"");
    }
}
