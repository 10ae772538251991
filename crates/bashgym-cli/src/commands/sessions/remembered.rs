//! The list of the sessions that were imported, so that they can be named by their id.

use bashgym_traces::SessionSummary;

use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::files::write_whole;

/// Keeps the list of what was imported last, whole or not at all.
pub(super) fn remember(sessions: &[SessionSummary], context: &Context) -> Result<(), CliError> {
    let path = context.home()?.join("sessions.json");
    let mut known = remembered(context)?;
    known.retain(|old| {
        !sessions
            .iter()
            .any(|new| new.session_id == old.session_id && new.file == old.file)
    });
    known.extend_from_slice(sessions);
    let text = serde_json::to_vec(&known)
        .map_err(|error| CliError::new(Kind::Internal, "the list of sessions is no JSON").because(error))?;
    write_whole(&path, &text)
}

pub(super) fn remembered(context: &Context) -> Result<Vec<SessionSummary>, CliError> {
    let path = context.home_path().join("sessions.json");
    match std::fs::read(&path) {
        // A list of another version is rebuilt by the next import.
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", &path, error)),
    }
}
