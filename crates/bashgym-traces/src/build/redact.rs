//! The redaction stage: a session in, the same session without secrets out.

use serde_json::value::RawValue;

use crate::error::TracesError;
use crate::gate::Gate;
use crate::model::Trace;

/// Passes every text of a session through the gate. Nothing behind this stage sees the session as it was.
pub(super) fn redact(gate: &mut Gate, trace: &mut Trace) -> Result<(), TracesError> {
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
    for message in &mut trace.messages {
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
    }
    Ok(())
}

fn clean(gate: &mut Gate, text: &mut String) {
    if let std::borrow::Cow::Owned(cleaned) = gate.text(text) {
        *text = cleaned;
    }
}
