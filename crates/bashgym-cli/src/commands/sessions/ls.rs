//! `bashgym sessions ls`: which session files there are.

use bashgym_traces::{SessionFile, find_session_files};
use serde_json::json;

use super::PathsArgs;
use crate::error::CliError;
use crate::inputs::inputs;
use crate::output::{Output, bytes, plain, table};

pub(super) fn list(args: &PathsArgs, output: Output) -> Result<(), CliError> {
    let files = find_session_files(&inputs(&args.paths)?)?;
    let mut shown = table(&["agent", "size", "begun", "file"]);
    for file in &files {
        let agent = agent_of(file);
        if output.is_json() {
            output.json(&json!({
                "agent": agent, "file": file.path, "size_bytes": file.size_bytes, "started_at": file.started_at,
                "session_id": file.session_id,
            }))?;
        } else if output.is_human() {
            shown.add_row([
                agent.unwrap_or("unknown").to_owned(),
                bytes(file.size_bytes),
                file.started_at.map_or_else(
                    || "-".to_owned(),
                    |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
                ),
                plain(&named(file)),
            ]);
        } else {
            output.line(plain(&named(file)))?;
        }
    }
    if output.is_human() {
        output.line(shown)
    } else {
        Ok(())
    }
}

fn agent_of(file: &SessionFile) -> Option<&'static str> {
    bashgym_traces::detect_agent(&file.path)
        .ok()
        .flatten()
        .map(bashgym_traces::Agent::as_str)
}

/// The file, and the session where the file holds many.
fn named(file: &SessionFile) -> String {
    match &file.session_id {
        Some(session) => format!("{}#{session}", file.path.display()),
        None => file.path.display().to_string(),
    }
}
