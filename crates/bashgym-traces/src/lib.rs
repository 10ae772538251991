//! Turns the session logs of coding agents into training examples.
//!
//! [`find_session_files`] finds logs, [`import`] reads them into [`Trace`]s of one model whatever agent wrote them, and
//! [`build_dataset`] cleans them, cuts them into [`Example`]s and writes a training and a validation split that share no
//! session. The crate does no networking and knows nothing about where a dataset goes afterwards.

mod build;
mod discover;
mod error;
mod example;
mod gate;
mod import;
mod importers;
mod model;
mod report;
mod segment;
mod split;

pub use build::{
    BuildOptions, BuildProgress, DATASET_FORMAT, DatasetBuilder, DatasetManifest, Generator, SplitFile,
    build_dataset,
};
pub use discover::{AgentFolder, SessionFile, agent_folders, find_session_files};
pub use error::TracesError;
pub use example::{
    ChatFunction, ChatMessage, ChatToolCall, Example, ExampleMetadata, Feature, FeatureKind, METADATA_FILE,
    Split, features,
};
pub use gate::{Gate, GateReport, GateStatus};
pub use import::{ImportEvent, ImportOptions, ImportProgress, import};
pub use importers::detect_agent;
pub use model::{
    Agent, FilesTouched, GitFacts, Message, MessageKind, Role, SessionCounts, TokenUsage, ToolCall,
    ToolResult, Trace,
};
pub use report::{ImportReport, ImportSummary, Problem, ProblemKind, SessionSummary};
pub use segment::{ExampleOptions, Losses};
pub use split::{SplitGroup, SplitOptions, SplitWarning, assign_groups};
