//! Turns an error answer into its meaning.

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::scrub::{redact_url, scrub_secrets};
use super::{HfError, HttpContext, Quota, Resource};
use crate::auth::{REDACTED, Token};
use crate::retry::server_wait;

/// How much of a server's message is kept.
const MAX_MESSAGE_CHARS: usize = 600;

/// Turns an error answer into an [`HfError`].
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_http.py` `hf_raise_for_status`; recorded answers for the texts of 402.
pub(crate) fn from_response(
    method: &Method,
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    token: Option<&Token>,
) -> HfError {
    let text = |name: &str| header_text(headers, name);
    let (body_message, body_code) = body_message(headers, body);
    let clean = |message: String| {
        let message = match token {
            Some(token) => message.replace(token.expose(), REDACTED),
            None => message,
        };
        shorten(&scrub_secrets(&message))
    };
    // The header copy has its line breaks and non-ASCII characters replaced, so the body speaks first.
    let server_message = body_message
        .or_else(|| text("x-error-message"))
        .map(clean)
        .filter(|m| !m.is_empty());
    let error_code = text("x-error-code")
        .or(body_code)
        .map(clean)
        .filter(|code| !code.is_empty());
    let request_id = ["x-request-id", "x-amzn-trace-id", "x-amz-cf-id"]
        .iter()
        .find_map(|name| text(name))
        .map(clean);
    let context = Box::new(HttpContext {
        method: method.clone(),
        url: redact_url(url),
        status,
        request_id,
        error_code,
        server_message,
        asked_wait: server_wait(headers),
    });
    classify(context, url, headers)
}

fn classify(context: Box<HttpContext>, url: &Url, headers: &HeaderMap) -> HfError {
    let message = context.server_message.clone().unwrap_or_default();
    let lower = message.to_lowercase();
    let not_found = |resource, context| HfError::NotFound {
        resource,
        name: None,
        context: Some(context),
    };
    let auth = |context: Box<HttpContext>| HfError::Auth {
        message: context.to_string(),
        context: Some(context),
    };
    let quota = |resource, context: Box<HttpContext>| HfError::QuotaExceeded {
        resource,
        message: context.to_string(),
        context: Some(context),
    };
    match (context.error_code.as_deref(), context.status.as_u16()) {
        (Some("RevisionNotFound"), _) => not_found(Resource::Revision, context),
        (Some("EntryNotFound"), _) => not_found(Resource::Entry, context),
        // The Hub answers 401 for what is private or missing alike, so as not to tell which.
        (Some("GatedRepo" | "RepoNotFound"), 401) => auth(context),
        (Some("GatedRepo"), _) => HfError::Forbidden { context },
        (Some("RepoNotFound"), _) if url.path().contains("/api/buckets/") => {
            not_found(Resource::Bucket, context)
        }
        (Some("RepoNotFound"), _) => not_found(Resource::Repository, context),
        (_, 401) => auth(context),
        (_, 402) if lower.contains("credit balance is insufficient") => quota(Quota::Credit, context),
        (_, 402) if lower.contains("monthly included credits") => quota(Quota::MonthlyCredit, context),
        (_, 402) if message.contains("/pro") && lower.contains("space") => HfError::ProRequired {
            feature: "a Gradio or Docker Space".to_owned(),
            message: context.to_string(),
            context: Some(context),
        },
        (_, 403) => HfError::Forbidden { context },
        (_, 404 | 410) => not_found(resource_of(url), context),
        (_, 409) => HfError::Conflict { context },
        (_, 412) => HfError::PreconditionFailed { context },
        (_, 400 | 422) => HfError::InvalidArgument {
            message: context.to_string(),
            context: Some(context),
        },
        (_, 429) => HfError::RateLimited {
            retry_after: server_wait(headers),
            message: context.to_string(),
            context: Some(context),
        },
        _ => HfError::Http { context },
    }
}

/// What a bare 404 at this address is about.
fn resource_of(url: &Url) -> Resource {
    let Some(mut segments) = url.path_segments() else {
        return Resource::Other;
    };
    if segments.by_ref().all(|segment| segment != "api") {
        return if url.path().contains("/resolve/") {
            Resource::Entry
        } else {
            Resource::Other
        };
    }
    let kind = segments.next().unwrap_or_default();
    let rest = segments.filter(|segment| !segment.is_empty()).count();
    match (kind, rest) {
        ("jobs", 2..) => Resource::Job,
        ("scheduled-jobs", 2..) => Resource::ScheduledJob,
        ("buckets", 2..) => Resource::Bucket,
        ("models" | "datasets" | "spaces" | "kernels", 1..) => Resource::Repository,
        _ => Resource::Other,
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The message and code in a body: JSON in the Hub's several shapes, or plain text; an HTML page says nothing.
fn body_message(headers: &HeaderMap, body: &[u8]) -> (Option<String>, Option<String>) {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return (None, None);
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return (json_message(&value), json_code(&value));
    }
    let html = header_text(headers, "content-type").is_some_and(|kind| kind.contains("html"))
        || text.starts_with('<');
    if html {
        (html_title(text), None)
    } else {
        (Some(text.to_owned()), None)
    }
}

fn json_message(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().filter_map(json_message).collect();
            (!parts.is_empty()).then(|| parts.join("; "))
        }
        Value::Object(fields) => {
            let main = ["error", "message", "errors", "detail"]
                .iter()
                .find_map(|key| fields.get(*key).and_then(json_message));
            let more = fields.get("error_description").and_then(json_message);
            match (main, more) {
                (Some(main), Some(more)) => Some(format!("{main}: {more}")),
                (main, more) => main.or(more),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn json_code(value: &Value) -> Option<String> {
    let error = value.get("error")?;
    error.get("code").and_then(Value::as_str).map(str::to_owned)
}

/// The title of an HTML page, the only short text in it.
fn html_title(page: &str) -> Option<String> {
    let start = page.find("<title>")? + "<title>".len();
    let end = page[start..].find("</title>")? + start;
    let title = page[start..end].trim();
    (!title.is_empty()).then(|| title.to_owned())
}

fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
