//! Turns the session logs of coding agents into training examples.
//!
//! [`find_session_files`] finds logs, [`import`] reads them into [`Trace`]s of one model whatever agent wrote them, and
//! [`build_dataset`] cleans them, cuts them into [`Example`]s and writes a training and a validation split that share no
//! session. The crate does no networking and knows nothing about where a dataset goes afterwards.

mod archive;
mod build;
pub mod columns;
pub mod dedup;
mod discover;
mod error;
mod examples;
mod gate;
mod import;
mod importers;
mod incremental;
mod index;
mod model;
pub mod quality;
mod redact;
mod report;
mod settle;
mod split;
pub mod sts;

pub use archive::{Added, AddedFile, Archive, ArchiveReport, ArchivedFile, ArchivedVersion};
pub use build::{
    BuildOptions, BuildProgress, DATASET_FORMAT, DatasetBuilder, DatasetManifest, DedupReport, Generator,
    Inputs, RowSet, RuleVersions, SplitFile, Stage, StageRecord, WorkDir, build_dataset, hash_inputs,
};
pub use columns::{Feature, FeatureKind, METADATA_FILE, RowKind, Split, features};
pub use discover::{AgentFolder, AgentHomes, SessionFile, agent_folders, files_behind, find_session_files};
pub use error::TracesError;
pub use examples::{
    ChatFunction, ChatMessage, ChatToolCall, Check, CheckKind, DistillationRow, Example, ExampleMetadata,
    ExampleOptions, Losses, PreferenceRow, RlvrRow, ScoredTask, estimate_tokens, score_session,
};
pub use gate::{Gate, GateReport, GateStatus};
pub use import::{ImportEvent, ImportOptions, ImportProgress, import, import_reader};
pub use importers::{detect_agent, open_log};
pub use incremental::{
    FileState, FollowEvent, FollowSummary, ImportState, ImportStateStore, JsonStateFile, SessionFollower,
    SessionState, SessionUpdate,
};
pub use index::SessionIndex;
pub use model::{
    Agent, FilesTouched, GitFacts, Message, MessageKind, Role, SessionCounts, TokenUsage, ToolCall,
    ToolResult, Trace,
};
pub use redact::{clean_facts, clean_message, clean_session};
pub use report::{ImportReport, ImportSummary, Problem, ProblemKind, SessionSummary};
pub use split::{SplitGroup, SplitOptions, SplitWarning, assign_groups};
