//! The Hub's routes through a real socket, a file for each area.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, a panic is a failure that names its line"
)]

mod accounts;
mod commits;
mod crash;
mod downloads;
mod embedded_spaces;
mod faults;
mod guard;
mod inference;
mod large;
mod lists;
mod model;
mod process_spaces;
mod rates;
mod refs;
mod repos;
mod spaces;
mod start;
mod support;
mod trees;
mod viewer;
