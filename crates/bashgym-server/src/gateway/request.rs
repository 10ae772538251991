//! What a tool asks for.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use hf_inference::ChatRequest;
use serde_json::Value;

use super::names::{self, Asked};
use crate::extract::json_bytes;
use crate::problem::{Code, Problem};

/// A chat, and how it is to be answered.
pub(super) struct Chat {
    pub(super) asked: Asked,
    pub(super) request: ChatRequest,
    pub(super) stream: bool,
    /// Whether the last piece of a stream tells the tokens.
    pub(super) include_usage: bool,
}

impl<S: Send + Sync> FromRequest<S> for Chat {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Self::read(&json_bytes(request, state).await?)
    }
}

fn invalid(why: impl Into<String>) -> Problem {
    Problem::new(Code::Invalid, why.into())
}

impl Chat {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Problem`] of code `invalid` or `model_not_found`.
    pub(super) fn read(body: &Bytes) -> Result<Self, Problem> {
        let (name, mut request) = ChatRequest::read(body)?;
        let asked = names::read(&name)?;
        if request.messages.is_empty() {
            return Err(invalid("messages is empty"));
        }
        let options = &mut request.options;
        let stream = match options.extra.remove("stream") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(stream)) => stream,
            Some(_) => return Err(invalid("stream is true or false")),
        };
        // What a stream cost is always asked for; whether it is handed on is the caller's wish.
        let wish = options.extra.remove("stream_options");
        let include_usage = wish.is_some_and(|wish| wish["include_usage"] == Value::Bool(true));
        if options.n == Some(0) || options.n.is_some_and(|n| n > 128) {
            return Err(invalid("n is 1 to 128"));
        }
        if options.answer_bound() == Some(0) {
            return Err(invalid("max_tokens is at least 1"));
        }
        request.purpose = Some("gateway".to_owned());
        Ok(Self {
            asked,
            request,
            stream,
            include_usage,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<Chat, Problem> {
        Chat::read(&Bytes::from(value.to_string()))
    }

    #[test]
    fn what_is_for_the_gateway_is_not_sent_on() {
        let body = json!({"model": "hf/org/name:groq", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "hi"}], "top_k": 3});
        let chat = read(&body).ok().unwrap();
        assert!(chat.stream && chat.include_usage);
        let extra: Vec<_> = chat.request.options.extra.keys().cloned().collect();
        assert_eq!(extra, ["top_k"]);
        assert_eq!(chat.request.purpose.as_deref(), Some("gateway"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let base = json!({"model": "bashgym/auto", "messages": [{"role": "user", "content": "hi"}]});
        for (key, value) in [
            ("messages", json!([])),
            ("messages", json!("hi")),
            ("stream", json!("yes")),
            ("n", json!(0)),
            ("max_tokens", json!(0)),
            ("max_tokens", json!(-1)),
            ("model", json!(5)),
        ] {
            let mut body = base.clone();
            body[key] = value;
            let problem = read(&body).err().unwrap();
            assert_eq!(problem.code(), Code::Invalid, "{key}: {}", problem.detail());
        }
        assert!(read(&base).is_ok());
    }
}
