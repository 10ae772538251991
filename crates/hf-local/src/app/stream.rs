//! Answers as Gradio's event streams.
//!
//! # Source
//! Gradio 6.31.0: `server_messages.py`, `routes.py` (`queue_data_helper`, `simple_predict_get`), and what the template's page sent with it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::queue::{Listening, Message, News, Sessions};

/// The longest silence of a stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// In which of Gradio's two forms a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Of a session: `data: {"msg": ...}`, pieces as differences.
    Queue,
    /// Of one call: `event: generating`, the whole text so far.
    Call,
}

struct Writer {
    sessions: Arc<Sessions>,
    session: String,
    messages: Listening,
    form: Form,
    /// The text so far of the questions that are being answered.
    texts: Vec<(String, String)>,
    is_over: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_over {
            self.sessions.leave(&self.session);
        }
    }
}

/// Streams a session. A listener that goes away ends the work.
pub(super) fn respond(sessions: &Arc<Sessions>, session: &str, form: Form) -> Response {
    let Some(messages) = sessions.listen(session) else {
        return events(Body::from(no_session(form)));
    };
    let writer = Writer {
        sessions: Arc::clone(sessions),
        session: session.to_owned(),
        messages,
        form,
        texts: Vec::new(),
        is_over: false,
    };
    events(Body::from_stream(stream::unfold(writer, |mut writer| async {
        let piece = writer.next().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(piece)), writer))
    })))
}

pub(super) fn events(body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}

fn no_session(form: Form) -> String {
    match form {
        Form::Queue => data(
            &json!({"msg": "unexpected_error", "event_id": null, "message": "404: Not Found",
            "session_not_found": true, "success": false}),
        ),
        Form::Call => event("error", &json!("404: Not Found")),
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn event(name: &str, value: &Value) -> String {
    format!("event: {name}\ndata: {value}\n\n")
}

/// A failure as Gradio shows it to a visitor.
fn error(why: &str) -> Value {
    json!({"error": why, "duration": 10, "visible": true, "title": "Error"})
}

impl Writer {
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.is_over {
                return None;
            }
            let Ok(message) = tokio::time::timeout(HEARTBEAT, self.messages.recv()).await else {
                return Some(match self.form {
                    Form::Queue => data(&json!({"msg": "heartbeat", "event_id": null})),
                    Form::Call => event("heartbeat", &Value::Null),
                });
            };
            let Some(message) = message else {
                self.is_over = true;
                return None;
            };
            let is_last = matches!(
                message.news,
                News::Done { .. } | News::Cancelled | News::Failed(_)
            );
            let id = message.event.clone();
            let mut text = match self.form {
                Form::Queue => self.queue(message),
                Form::Call => self.call(message),
            };
            if is_last {
                self.texts.retain(|(known, _)| *known != id);
                if self.sessions.told(&self.session, &id) {
                    self.is_over = true;
                    if self.form == Form::Queue {
                        text.push_str(&data(&json!({"msg": "close_stream", "event_id": null})));
                    }
                }
            }
            if !text.is_empty() {
                return Some(text);
            }
        }
    }

    /// Adds a piece to the text of a question; says whether it is its first, and the text so far.
    fn add(&mut self, id: &str, piece: &str) -> (bool, &str) {
        let at = self.texts.iter().position(|(known, _)| known == id);
        let at = at.unwrap_or_else(|| {
            self.texts.push((id.to_owned(), String::new()));
            self.texts.len() - 1
        });
        let text = &mut self.texts[at].1;
        let is_first = text.is_empty();
        text.push_str(piece);
        (is_first, text)
    }

    fn queue(&mut self, Message { event: id, news }: Message) -> String {
        let output = |shown: Value, generating: bool, seconds: Option<f64>| {
            json!({"data": [shown], "is_generating": generating, "duration": seconds, "average_duration": seconds,
                "render_config": null, "changed_state_ids": [], "used_cache": null})
        };
        let completed = |output: Value, success: bool, seconds: Option<f64>| {
            let title = if success { Value::Null } else { json!("Error") };
            json!({"msg": "process_completed", "event_id": id, "output": output, "success": success, "title": title,
                "used_cache": null, "cache_duration": null, "avg_time": seconds})
        };
        let message = match news {
            News::Queued { rank } => {
                json!({"msg": "estimation", "event_id": id, "rank": rank, "queue_size": rank + 1, "rank_eta": null})
            }
            News::Started => json!({"msg": "process_starts", "event_id": id, "eta": null}),
            News::Piece(piece) => {
                let (is_first, _) = self.add(&id, &piece);
                let shown = if is_first {
                    json!(piece)
                } else {
                    json!([["append", [], piece]])
                };
                json!({"msg": "process_generating", "event_id": id, "output": output(shown, true, None), "success": true,
                    "time_limit": null})
            }
            News::Done { seconds } => {
                let (_, text) = self.add(&id, "");
                completed(output(json!(text), false, Some(seconds)), true, Some(seconds))
            }
            News::Cancelled => completed(json!({}), true, None),
            News::Failed(why) => completed(error(&why), false, None),
        };
        data(&message)
    }

    fn call(&mut self, Message { event: id, news }: Message) -> String {
        match news {
            News::Queued { .. } | News::Started => String::new(),
            News::Piece(piece) => event("generating", &json!([self.add(&id, &piece).1])),
            News::Done { .. } => event("complete", &json!([self.add(&id, "").1])),
            News::Cancelled => event("complete", &Value::Null),
            News::Failed(why) => event("error", &error(&why)),
        }
    }
}
