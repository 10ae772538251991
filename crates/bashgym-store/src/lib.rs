//! The state of Bash Gym in SQLite or PostgreSQL: an implementation of the store traits of `bashgym-core`.
//!
//! A SQLite file is opened in WAL mode, so that several processes on one machine may read and write it at a time;
//! PostgreSQL serves several machines. Queries are runtime queries, one text for both, each run by the contract
//! suite on both; no SQL is ever made from input.

mod backup;
mod calls;
mod cells;
mod database;
mod error;
mod event_log;
mod events;
mod jobs;
mod ledger;
mod migrations;
mod open;
mod routes;
mod runs;
mod seen;
mod tables;
mod tasks;

pub use backup::{BackupError, Restore, StoreInfo, TableRows};
pub use open::SqlStore;
