//! What happened: events of a run, and the one log of everything that a server sends on.
//!
//! The log is written where the fact is: a store that saves a launch, a run, lines, money or a task appends the events
//! that follow from the change in the same transaction ([`facts`]). So a fact is in the log exactly when it is in the
//! store, whatever process wrote it and wherever that process was killed.

pub mod facts;
mod log;
mod reader;
mod run;
mod topics;

pub use log::{Event, EventLog, EventWatch, LogBounds, NewEvent, Retention, keep_tidy};
pub use reader::{EventReader, LogPage, Missed};
pub use run::{EventSink, RunEvent, RunResult, StageStatus, StoredEvent};
pub use topics::{BadTopic, Topics};
