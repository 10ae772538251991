//! OpenCode: a tree of JSON files, or since 2026 a SQLite database; the same session, message and part in both.

mod assemble;
mod database;
mod sqlite;
mod tree;
mod wire;

pub(crate) use database::{is_store, read_store, sessions_in};
pub(crate) use tree::{is_tree_session, read_tree, tree_files, tree_stamp};

use super::builder::Parsed;
use super::{Importer, Reject, reject};
use crate::report::ImportReport;
use serde::de::IgnoredAny;

/// The session file of a tree whose other files are not there: known, and without a message.
#[derive(Clone)]
pub(super) struct Lone;

impl Importer for Lone {
    fn record(&mut self, line: &str, report: &mut ImportReport) -> Result<(), Reject> {
        serde_json::from_str::<IgnoredAny>(line).map_err(|_| reject(line))?;
        report.understood("session");
        Ok(())
    }

    fn boxed_clone(&self) -> Box<dyn Importer> {
        Box::new(self.clone())
    }

    fn finish(self: Box<Self>) -> Vec<Parsed> {
        Vec::new()
    }
}
