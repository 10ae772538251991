//! Repos: their names, settings, refs and history.

mod cache;
mod card;
mod commit;
mod edit;
mod export;
mod history;
mod listing;
mod model;
mod objects;
mod path;
mod refs;
mod schema;
mod seen;
mod store;
mod sweep;

pub(crate) use cache::Cache;
pub(crate) use card::{Facts, front_matter, parse_front_matter};
pub(crate) use commit::NewCommit;
pub(crate) use edit::Change;
pub(crate) use export::{export, write_file};
pub(crate) use history::LastCommit;
pub(crate) use listing::Item;
pub(crate) use model::{Repo, RepoId, RepoKind, Visibility};
pub(crate) use objects::{Blob, NewBlob, ObjectCache};
pub(crate) use path::RepoPath;
pub(crate) use refs::{Commit, MAIN, branch_of, is_ref_name};
pub(crate) use schema::MIGRATIONS;
pub(crate) use seen::Seen;
pub(crate) use store::{ListFilter, NewRepo};
pub(crate) use sweep::{Sweeping, start as start_sweeping};
