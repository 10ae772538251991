//! What a repo is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of repos served here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RepoKind {
    #[default]
    Model,
    Dataset,
    Space,
}

impl RepoKind {
    pub(crate) const ALL: [Self; 3] = [Self::Model, Self::Dataset, Self::Space];

    /// `model`, as in bodies.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
        }
    }

    /// `models`, as in API paths.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
            Self::Space => "spaces",
        }
    }

    /// What web paths start with: nothing for models, else the plural and a slash.
    pub(crate) fn web_prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn parse_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }
}

/// Which repo is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RepoId {
    pub(crate) kind: RepoKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl RepoId {
    pub(crate) fn new(kind: RepoKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// `namespace/name`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The path of the repo's page: `datasets/namespace/name`.
    pub(crate) fn web_path(&self) -> String {
        format!("{}{}/{}", self.kind.web_prefix(), self.namespace, self.name)
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.name(), self.namespace, self.name)
    }
}

/// Who sees a repo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Visibility {
    Public,
    Private,
    /// A Space whose app is public and whose files are not.
    Protected,
}

impl Visibility {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Protected => "protected",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Public, Self::Private, Self::Protected]
            .into_iter()
            .find(|visibility| visibility.name() == name)
    }
}

/// A repo, as the index has it.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    /// The row.
    pub(crate) row: i64,
    /// 24 hex digits.
    pub(crate) oid: String,
    pub(crate) id: RepoId,
    pub(crate) visibility: Visibility,
    pub(crate) sdk: Option<String>,
    pub(crate) gated: String,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

impl Repo {
    /// Returns whether anybody may read the files.
    pub(crate) fn is_public(&self) -> bool {
        self.visibility == Visibility::Public
    }
}
