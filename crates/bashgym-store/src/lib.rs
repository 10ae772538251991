//! The state of Bash Gym in SQLite: an implementation of the store traits of `bashgym-core`.
//!
//! The file is opened in WAL mode, so that several processes on one machine may read and write it at a time.
//! Queries are runtime queries, each run by the contract suite; no SQL is ever made from input.

mod error;
mod events;
mod pool;
mod runs;

pub use pool::SqliteStore;
