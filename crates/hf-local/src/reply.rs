//! Errors as the Hub words them.

use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{StatusCode, header};

/// The header that names the kind of an error.
pub(crate) const X_ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
/// The header that repeats the text of an error in ASCII.
pub(crate) const X_ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
/// The header with the commit a file was taken from.
pub(crate) const X_REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");

/// What a handler returns.
pub(crate) type HubResult<T> = Result<T, HubError>;

/// A refused request: status, the Hub's error code where it has one, and the text.
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_http.py` (how the status and the code are read), recorded replies of the Hub.
#[derive(Debug)]
pub(crate) struct HubError {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: Option<&'static str>,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The text of an error, left on the response so that web routes can answer it as plain text.
#[derive(Clone, Debug)]
pub(crate) struct ErrorText(pub(crate) String);

impl HubError {
    /// Makes an error without a code.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                status,
                code: None,
                message: message.into(),
                headers: Vec::new(),
            }),
        }
    }

    fn coded(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let mut error = Self::new(status, message);
        error.inner.code = Some(code);
        error
    }

    /// What is said.
    pub(crate) fn message(&self) -> &str {
        &self.inner.message
    }

    /// Adds a header to the reply.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.inner.headers.push((name, value));
        }
        self
    }

    /// 401: no token, where one is needed, or a repo the caller may not even know of.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Invalid username or password.")
    }

    /// 401: a repo that is private or missing; which of them, nobody without a token is told.
    ///
    /// The Hub sends no code here. Its client knows a repo by an `https://` address then, which this Hub has not, so
    /// the code says what the address can't.
    pub(crate) fn hidden_repo() -> Self {
        Self::coded(
            StatusCode::UNAUTHORIZED,
            "RepoNotFound",
            "Invalid username or password.",
        )
    }

    /// 401: a token that belongs to nobody.
    pub(crate) fn bad_credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Invalid credentials in Authorization header",
        )
    }

    /// 403: the caller is known and may not do this.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 400: the request itself is wrong.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404 without a code.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 404 `RepoNotFound`.
    pub(crate) fn repo_not_found() -> Self {
        Self::coded(StatusCode::NOT_FOUND, "RepoNotFound", "Repository not found")
    }

    /// 404 `RevisionNotFound`.
    pub(crate) fn revision_not_found(revision: &str) -> Self {
        Self::coded(
            StatusCode::NOT_FOUND,
            "RevisionNotFound",
            format!("Invalid rev id: {revision}"),
        )
    }

    /// 404 `EntryNotFound`.
    pub(crate) fn entry_not_found(message: impl Into<String>) -> Self {
        Self::coded(StatusCode::NOT_FOUND, "EntryNotFound", message)
    }

    /// 409.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 307 to another place on this Hub.
    pub(crate) fn moved(to: &str) -> Self {
        Self::new(
            StatusCode::TEMPORARY_REDIRECT,
            format!("The repository was moved: {to}"),
        )
        .with_header(header::LOCATION, to)
    }

    /// 501: the real Hub does this and the local one does not.
    pub(crate) fn not_served(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("{what} is not served by hf-local"),
        )
    }

    /// 500, or 507 when the disk is full; the cause goes to the log, not to the caller.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = vec![error.to_string()];
        let mut cause = error.source();
        let mut full = is_disk_full(error);
        while let Some(inner) = cause {
            full |= is_disk_full(inner);
            causes.push(inner.to_string());
            cause = inner.source();
        }
        tracing::error!(error = causes.join(": "), "request failed");
        if full {
            Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "The disk that holds the data of this Hub is full: make room, then try again",
            )
        } else {
            Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error: the log of hf-local says why",
            )
        }
    }
}

fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        );
    }
    // SQLITE_FULL
    matches!(error.downcast_ref::<sqlx::Error>(), Some(sqlx::Error::Database(error)) if error.code().as_deref() == Some("13"))
}

impl From<sqlx::Error> for HubError {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<std::io::Error> for HubError {
    fn from(error: std::io::Error) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for HubError {
    fn into_response(self) -> Response {
        let Inner {
            status,
            code,
            message,
            headers,
        } = *self.inner;
        let body = serde_json::json!({ "error": message }).to_string();
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
            body,
        )
            .into_response();
        let map = response.headers_mut();
        if let Some(code) = code {
            map.insert(X_ERROR_CODE, HeaderValue::from_static(code));
        }
        if let Ok(text) = HeaderValue::from_str(&ascii(&message)) {
            map.insert(X_ERROR_MESSAGE, text);
        }
        if status == StatusCode::UNAUTHORIZED {
            map.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"Authentication required\", charset=\"UTF-8\""),
            );
        }
        for (name, value) in headers {
            map.append(name, value);
        }
        response.extensions_mut().insert(ErrorText(message));
        response
    }
}

/// Writes a text as the Hub writes it into a header: ASCII only, other characters as `*`, white space collapsed.
fn ascii(text: &str) -> String {
    let starred: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c.is_whitespace() {
                c
            } else {
                '*'
            }
        })
        .collect();
    starred.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_copy_of_a_message_is_ascii_on_one_line() {
        assert_eq!(
            ascii("\u{2716} Too big: expected string\n  \u{2192} at rejectionReason"),
            "* Too big: expected string * at rejectionReason"
        );
    }
}
