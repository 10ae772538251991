//! A session in the Hub's Session Trace Simple Format: for agents whose own logs the Hub's trace viewer does not know.

use std::io::{self, Write};

use serde::Serialize;

use crate::model::{Message, Trace};

#[derive(Serialize)]
struct Head<'t> {
    r#type: &'static str,
    harness: &'static str,
    id: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<&'t str>,
}

#[derive(Serialize)]
struct Line<'t> {
    r#type: &'static str,
    message: Said<'t>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said<'t> {
    role: &'static str,
    content: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'t str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'t str>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'t str>,
}

#[derive(Serialize)]
struct Call<'t> {
    id: &'t str,
    function: Function<'t>,
}

#[derive(Serialize)]
struct Function<'t> {
    name: &'t str,
    /// A JSON text.
    arguments: &'t str,
}

/// Writes a session, one line for its head and one for each message. What was taken back is left out.
///
/// # Errors
///
/// Those of writing.
///
/// # Source
///
/// The Hub's documentation of agent traces.
pub fn write(trace: &Trace, to: &mut impl Write) -> io::Result<()> {
    let head = Head {
        r#type: "session",
        harness: trace.agent.as_str(),
        id: &trace.session_id,
        cwd: trace.cwd.as_deref(),
    };
    line(&head, to)?;
    // A message does not say which model wrote it; where there was one only, it did.
    let model = match trace.models.as_slice() {
        [only] => Some(only.as_str()),
        _ => None,
    };
    for message in trace.messages.iter().filter(|message| !message.rewound) {
        line(&of(message, model), to)?;
    }
    Ok(())
}

fn of<'t>(message: &'t Message, model: Option<&'t str>) -> Line<'t> {
    let result = message.tool_result.as_ref();
    Line {
        r#type: "message",
        message: Said {
            role: message.role.as_str(),
            content: result.map_or(&message.text, |result| &result.content),
            reasoning_content: message.thinking.as_deref(),
            tool_calls: message
                .tool_calls
                .iter()
                .map(|call| Call {
                    id: &call.id,
                    function: Function {
                        name: &call.name,
                        arguments: call.arguments.get(),
                    },
                })
                .collect(),
            tool_call_id: result.map(|result| result.tool_call_id.as_str()),
            timestamp: message.timestamp.map(jiff::Timestamp::as_millisecond),
            model: model.filter(|_| message.role == crate::model::Role::Assistant),
        },
    }
}

fn line(value: &impl Serialize, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}
