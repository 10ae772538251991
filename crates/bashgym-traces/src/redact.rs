//! A session in, the same session without secrets out. The build's redaction stage and whoever shows a session use it.

use serde_json::value::RawValue;

use crate::error::TracesError;
use crate::gate::Gate;
use crate::model::{Message, Trace};

/// Passes every text of a session through the gate. Nothing behind this sees the session as it was.
///
/// # Errors
///
/// [`TracesError::Encode`] when a call's arguments are no JSON any more.
pub fn clean_session(gate: &mut Gate, trace: &mut Trace) -> Result<(), TracesError> {
    clean_facts(gate, trace);
    trace
        .messages
        .iter_mut()
        .try_for_each(|message| clean_message(gate, message))
}

/// Passes all but the messages of a session through the gate, and lets the gate learn the session's names.
pub fn clean_facts(gate: &mut Gate, trace: &mut Trace) {
    gate.learn(trace);
    clean(gate, &mut trace.session_id);
    trace.parent_session_id.iter_mut().for_each(|id| clean(gate, id));
    trace.models.iter_mut().for_each(|model| clean(gate, model));
    trace.related_session_ids = std::mem::take(&mut trace.related_session_ids)
        .into_iter()
        .map(|id| gate.text(&id).into_owned())
        .collect();
    // Paths of this machine have no use behind this point.
    trace.source = std::path::PathBuf::new();
    let git = &mut trace.git;
    let facts = [&mut git.branch, &mut git.remote, &mut trace.cwd];
    facts.into_iter().flatten().for_each(|text| clean(gate, text));
    for files in [&mut trace.files.read, &mut trace.files.written] {
        *files = std::mem::take(files)
            .into_iter()
            .map(|path| gate.text(&path).into_owned())
            .collect();
    }
}

/// Passes one message through a gate that has learned its session's names; see [`clean_facts`].
///
/// # Errors
///
/// As [`clean_session`].
pub fn clean_message(gate: &mut Gate, message: &mut Message) -> Result<(), TracesError> {
    clean(gate, &mut message.text);
    message.thinking.iter_mut().for_each(|text| clean(gate, text));
    for call in &mut message.tool_calls {
        clean(gate, &mut call.name);
        let cleaned = match gate.json(call.arguments.get()) {
            std::borrow::Cow::Borrowed(_) => continue,
            std::borrow::Cow::Owned(cleaned) => cleaned,
        };
        call.arguments = RawValue::from_string(cleaned).map_err(TracesError::Encode)?;
    }
    if let Some(result) = &mut message.tool_result {
        clean(gate, &mut result.content);
    }
    Ok(())
}

fn clean(gate: &mut Gate, text: &mut String) {
    if let std::borrow::Cow::Owned(cleaned) = gate.text(text) {
        *text = cleaned;
    }
}
