//! The run: from session logs to a verified student model, in stages that can each be taken up again.

mod follow;
mod model;
mod service;
mod source;
mod state;
mod verify;

pub use model::{
    BuiltDataset, DatasetSource, PublishedDataset, RunId, RunRecord, RunSpec, SubmitIntent, SubmittedJob,
    Target, VerifiedModel,
};
pub use service::{Completion, RunContext, RunService, StudentSampler};
pub use state::{InvalidTransition, RunState, Stage};
