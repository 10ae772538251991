//! Gradio's HTTP API, as far as its clients use it, and the page.

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

use super::host::AppHost;
use super::page::{self, Form};
use super::queue::Question;
use super::shapes::{self, API_NAME};
use super::space_file::{Limits, SpaceFile};
use super::stream::{self, Form as StreamForm};
use crate::inference::Wanted;
use crate::reply::{HubError, HubResult};
use crate::routes::query::Params;

/// The longest body that is read.
const MAX_BODY: usize = 1 << 20;

/// Answers a request to the app of a Space. `path` is what follows its address.
pub(crate) async fn handle(host: Arc<dyn AppHost>, path: &str, request: Request) -> HubResult<Response> {
    if path == "style.css" {
        return Ok(page::style());
    }
    let app = App { host };
    let query = Params::parse(request.uri().query().unwrap_or_default().as_bytes());
    let method = if request.method() == Method::HEAD {
        Method::GET
    } else {
        request.method().clone()
    };
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        (Method::GET, [""]) => Ok(page::blank(&*app.host)),
        (Method::POST, [""]) => app.form(&body(request.into_body()).await?),
        (Method::GET, ["config"]) => Ok(Json(shapes::config(&*app.host)).into_response()),
        (Method::GET, ["gradio_api", "info"]) => Ok(Json(shapes::info(app.host.file())).into_response()),
        (Method::POST, ["gradio_api", "call", API_NAME]) => {
            Ok(app.call(&json_body(request.into_body()).await?))
        }
        (Method::GET, ["gradio_api", "call", API_NAME, event]) => {
            Ok(stream::respond(app.host.sessions(), event, StreamForm::Call))
        }
        (Method::POST, ["gradio_api", "queue", "join"]) => {
            Ok(app.join(&json_body(request.into_body()).await?))
        }
        (Method::GET, ["gradio_api", "queue", "data"]) => {
            let session = query.get("session_hash").unwrap_or_default();
            Ok(stream::respond(app.host.sessions(), session, StreamForm::Queue))
        }
        (Method::GET, ["gradio_api", "heartbeat", _]) => Ok(heartbeat(&*app.host)),
        (Method::POST, ["gradio_api", "cancel"]) => {
            let wanted: Cancel = json_body(request.into_body()).await?;
            app.host.sessions().cancel(&wanted.event_id);
            Ok(Json(json!({"success": true})).into_response())
        }
        (Method::POST, ["gradio_api", "reset"]) => Ok(Json(json!({"success": true})).into_response()),
        _ => Ok(detail(StatusCode::NOT_FOUND, "Not Found")),
    }
}

#[derive(Deserialize)]
struct Call {
    data: Vec<Value>,
    #[serde(default)]
    session_hash: Option<String>,
}

#[derive(Deserialize)]
struct Join {
    #[serde(default)]
    data: Vec<Value>,
    #[serde(default)]
    fn_index: Option<u64>,
    #[serde(default)]
    session_hash: Option<String>,
}

#[derive(Deserialize)]
struct Cancel {
    #[serde(default)]
    event_id: String,
}

struct App {
    host: Arc<dyn AppHost>,
}

impl App {
    fn ask(&self, session: Option<&str>, question: Question) -> Option<String> {
        self.host.sessions().join(&self.host, session, question)
    }

    fn call(&self, wanted: &Call) -> Response {
        let question = question(self.host.file(), &wanted.data);
        begun(self.ask(wanted.session_hash.as_deref(), question))
    }

    fn join(&self, wanted: &Join) -> Response {
        let Some(session) = wanted
            .session_hash
            .as_deref()
            .filter(|session| !session.is_empty())
        else {
            return detail(StatusCode::BAD_REQUEST, "Session hash not found.");
        };
        if wanted.fn_index.unwrap_or(0) != 0 {
            return detail(StatusCode::NOT_FOUND, "There is only the function 0, /generate");
        }
        let question = question(self.host.file(), &wanted.data);
        begun(self.ask(Some(session), question))
    }

    /// The form of the page.
    fn form(&self, body: &[u8]) -> HubResult<Response> {
        let fields = Params::parse(body);
        let text = |key: &str| fields.get(key).unwrap_or_default().to_owned();
        let form = Form {
            // Forms send the line ends of old.
            prompt: text("prompt").replace("\r\n", "\n"),
            max_tokens: text("max_tokens"),
            temperature: text("temperature"),
        };
        let file = self.host.file();
        let data = [
            json!(form.prompt),
            json!(form.max_tokens),
            json!(form.temperature),
        ];
        let Some(session) = self.ask(None, question(file, &data)) else {
            return Ok(page::trouble(
                &file.title,
                StatusCode::SERVICE_UNAVAILABLE,
                FULL,
                self.host.framed_by(),
            ));
        };
        let messages = self
            .host
            .sessions()
            .listen(&session)
            .ok_or_else(|| HubError::new(StatusCode::SERVICE_UNAVAILABLE, "The app was stopped"))?;
        Ok(page::answered(&*self.host, &form, session, messages))
    }
}

const FULL: &str = "Queue is full! Please try again.";

fn begun(event: Option<String>) -> Response {
    match event {
        Some(event) => Json(json!({"event_id": event})).into_response(),
        None => detail(StatusCode::SERVICE_UNAVAILABLE, FULL),
    }
}

fn detail(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"detail": text}))).into_response()
}

async fn body(body: Body) -> HubResult<Bytes> {
    to_bytes(body, MAX_BODY).await.map_err(|_| {
        HubError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request body is too large, or broke off",
        )
    })
}

async fn json_body<T: DeserializeOwned>(from: Body) -> HubResult<T> {
    serde_json::from_slice(&body(from).await?).map_err(|error| {
        HubError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("The body of the request can not be read: {error}"),
        )
    })
}

/// A stream that tells that the app is there, until one of both ends.
fn heartbeat(host: &dyn AppHost) -> Response {
    let closing = host.closing().clone();
    let ticks = futures::stream::unfold((closing, true), |(closing, is_first)| async move {
        if !is_first {
            tokio::select! {
                () = closing.cancelled() => return None,
                () = tokio::time::sleep(std::time::Duration::from_secs(15)) => {}
            }
        }
        Some((
            Ok::<_, std::io::Error>(Bytes::from_static(b"data: ALIVE\n\n")),
            (closing, false),
        ))
    });
    stream::events(Body::from_stream(ticks))
}

/// Reads what the function is called with: prompt, most new tokens, temperature. Wrong values are refused in the words of the
/// template's `student.py`, and those of Gradio's sliders.
fn question(file: &SpaceFile, data: &[Value]) -> Question {
    let [prompt, tokens, heat] = data else {
        return Err(format!(
            "The function /{API_NAME} takes 3 values (prompt, max_tokens, temperature), and got {}.",
            data.len()
        ));
    };
    let Limits {
        max_prompt_chars,
        max_new_tokens,
    } = file.limits;
    let prompt = match prompt {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let tokens = slider(tokens, "max_tokens", 1.0, f64::from(max_new_tokens))?;
    let temperature = slider(heat, "temperature", 0.0, 2.0)?;
    if prompt.trim().is_empty() {
        return Err("Write a prompt first.".to_owned());
    }
    if prompt.chars().count() > max_prompt_chars as usize {
        return Err(format!(
            "The prompt is longer than {max_prompt_chars} characters."
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and a u32"
    )]
    let max_tokens = tokens as usize;
    Ok((
        prompt,
        Wanted {
            max_tokens,
            temperature,
        },
    ))
}

fn slider(value: &Value, name: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number.filter(|number| number.is_finite()) {
        None => Err(format!("The value of {name} is no number.")),
        Some(number) if number < least => Err(format!("Value {number} is less than minimum value {least}.")),
        Some(number) if number > most => Err(format!("Value {number} is greater than maximum value {most}.")),
        Some(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> SpaceFile {
        let pinned = json!({"repo_id": "ada/tiny", "revision": "0"});
        let text = json!({"form": 1, "title": "T", "model": pinned, "shown": pinned,
            "limits": {"max_prompt_chars": 5, "max_new_tokens": 10, "max_gpu_seconds": 1, "ms_per_token": 1}});
        SpaceFile::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn a_question_is_taken_within_the_limits_of_its_space() {
        let good = [
            json!(["hello", 10, 2]),
            json!(["hello", "1", "0.5"]),
            json!(["h\u{e9}llo", 1.9, 0]),
        ];
        for data in good {
            assert!(question(&file(), data.as_array().unwrap()).is_ok(), "{data}");
        }
        for (data, told) in [
            (json!(["", 1, 0]), "Write a prompt"),
            (json!([" \n", 1, 0]), "Write a prompt"),
            (json!([null, 1, 0]), "Write a prompt"),
            (json!(["longer", 1, 0]), "longer than 5"),
            (json!(["a", 11, 0]), "greater than maximum value 10"),
            (json!(["a", 0, 0]), "less than minimum value 1"),
            (json!(["a", 1, -1]), "less than minimum value 0"),
            (json!(["a", 1, "nan"]), "no number"),
            (json!(["a", null, 0]), "no number"),
            (json!(["a"]), "takes 3 values"),
        ] {
            let refused = question(&file(), data.as_array().unwrap()).unwrap_err();
            assert!(refused.contains(told), "{data}: {refused}");
        }
    }
}
