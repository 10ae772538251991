//! The page of an app: a form and its streamed answer, without a script.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;

use super::host::AppHost;
use super::queue::{Listening, News, Sessions};
use super::space_file::SpaceFile;

/// The style of the page.
pub(super) const STYLE: &str = include_str!("page.css");

const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors ";
const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");

/// What a visitor wrote into the form, as it was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    pub(super) prompt: String,
    pub(super) max_tokens: String,
    pub(super) temperature: String,
}

impl Form {
    /// The form as it is before anybody wrote.
    pub(super) fn blank(file: &SpaceFile) -> Self {
        Self {
            prompt: String::new(),
            max_tokens: file.limits.usual_tokens().to_string(),
            temperature: "0".to_owned(),
        }
    }
}

/// The page, without an answer.
pub(super) fn blank(host: &dyn AppHost) -> Response {
    let file = host.file();
    let text = top(&file.title) + &head(host, &Form::blank(file)) + BOTTOM;
    respond(StatusCode::OK, host.framed_by(), Body::from(text))
}

/// The page of an app that does not answer.
pub(crate) fn trouble(title: &str, status: StatusCode, why: &str, framed_by: Option<&str>) -> Response {
    let text = format!(
        "{}<h1>{}</h1><p class=\"wrong\">{}</p>{BOTTOM}",
        top(title),
        escape(title),
        escape(why)
    );
    respond(status, framed_by, Body::from(text))
}

/// The page, with the answer as it comes. Whoever goes away ends the work.
pub(super) fn answered(host: &dyn AppHost, form: &Form, session: String, messages: Listening) -> Response {
    struct Writer {
        sessions: Arc<Sessions>,
        session: String,
        messages: Listening,
        first: Option<String>,
        is_over: bool,
    }
    impl Drop for Writer {
        fn drop(&mut self) {
            self.sessions.leave(&self.session);
        }
    }
    let first = top(&host.file().title) + &head(host, form) + "<h2>Answer</h2><pre>";
    let writer = Writer {
        sessions: Arc::clone(host.sessions()),
        session,
        messages,
        first: Some(first),
        is_over: false,
    };
    let body = stream::unfold(writer, |mut writer| async {
        if let Some(first) = writer.first.take() {
            return Some((Ok::<_, std::io::Error>(Bytes::from(first)), writer));
        }
        if writer.is_over {
            return None;
        }
        let text = loop {
            let news = writer.messages.recv().await.map(|message| message.news);
            writer.is_over = !matches!(news, Some(News::Queued { .. } | News::Started | News::Piece(_)));
            break match news {
                Some(News::Queued { .. } | News::Started) => continue,
                Some(News::Piece(piece)) => escape(&piece),
                Some(News::Done { seconds }) => format!("</pre><p class=\"note\">{seconds:.1} s</p>{BOTTOM}"),
                Some(News::Failed(why)) => format!("</pre><p class=\"wrong\">{}</p>{BOTTOM}", escape(&why)),
                Some(News::Cancelled) | None => {
                    format!("</pre><p class=\"wrong\">The answer was broken off.</p>{BOTTOM}")
                }
            };
        };
        Some((Ok(Bytes::from(text)), writer))
    });
    respond(StatusCode::OK, host.framed_by(), Body::from_stream(body))
}

/// The style sheet.
pub(crate) fn style() -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, STYLE).into_response()
}

fn respond(status: StatusCode, framed_by: Option<&str>, body: Body) -> Response {
    let policy = format!("{POLICY}{}", framed_by.unwrap_or("'none'"));
    let policy = HeaderValue::try_from(policy)
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // Not `no-referrer`: a form would be sent without its origin then.
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

const BOTTOM: &str = "</main></body></html>";

fn top(title: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><link rel=\"stylesheet\" href=\"style.css\"></head><body><main>",
        escape(title)
    )
}

fn head(host: &dyn AppHost, form: &Form) -> String {
    let (file, runtime) = (host.file(), host.runtime());
    let limits = file.limits;
    format!(
        "<h1>{}</h1><p><code>{}</code> at <code>{}</code></p><p class=\"note\">{runtime}</p><form method=\"post\" action=\"./\">\
         <label>Prompt<textarea name=\"prompt\" rows=\"6\" required maxlength=\"{}\">\n{}</textarea></label><div class=\"row\">\
         <label>Most new tokens<input name=\"max_tokens\" type=\"number\" min=\"1\" max=\"{}\" value=\"{}\"></label>\
         <label>Temperature<input name=\"temperature\" type=\"number\" min=\"0\" max=\"2\" step=\"0.05\" value=\"{}\"></label></div>\
         <button>Generate</button></form>",
        escape(&file.title),
        escape(&file.shown.repo_id),
        escape(file.shown.revision.get(..12).unwrap_or(&file.shown.revision)),
        limits.max_prompt_chars,
        escape(&form.prompt),
        limits.max_new_tokens,
        escape(&form.max_tokens),
        escape(&form.temperature),
    )
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_person_or_a_model_wrote_becomes_markup() {
        assert_eq!(
            escape("</pre><script x=\"1\" y='2'>&"),
            "&lt;/pre&gt;&lt;script x=&quot;1&quot; y=&#39;2&#39;&gt;&amp;"
        );
    }
}
