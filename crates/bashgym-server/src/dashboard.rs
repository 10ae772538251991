//! The dashboard, as it was built into this binary.
//!
//! Its files tell nothing of the account, the data or the machine, so they are had without a key; all that they show they
//! ask the API for. Names in `/assets/` carry a hash of their content and are kept for good; the page itself is asked for
//! each time.

use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, header};

use crate::problem::{Code, Problem};

/// A file of the dashboard and its packed copies.
struct File {
    path: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// The first parts of the addresses of pages; `frontend/src/app/routes.test.ts` holds the dashboard against it.
pub(crate) const PAGES: &[&str] = &[
    "", "account", "train", "jobs", "spaces", "datasets", "sessions", "runs", "router", "usage", "activity",
    "settings",
];

/// What is shown where the dashboard was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Bash Gym</title>\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
    <link rel=\"stylesheet\" href=\"/assets/page.css\"></head><body><main><h1>Bash Gym</h1>\
    <p>The server runs. The dashboard is not part of this build; everything it would show is in the API.</p>\
    <p>To make a build that has it: <code>cargo xtask frontend build</code> (it needs Node 20), then \
    <code>cargo build</code> again.</p>\
    <p><a href=\"/api\">Browse the API</a> (sign in first: <code>bashgym up</code> gives a link that works once)</p>\
    <p>On the command line: <code>bashgym status</code>, <code>bashgym run</code>, <code>bashgym jobs ls</code>.</p>\
    </main></body></html>";

fn file(path: &str) -> Option<&'static File> {
    let found = FILES.binary_search_by(|file| file.path.cmp(path));
    found.ok().and_then(|at| FILES.get(at))
}

/// Whether a path is a page's: the dashboard itself knows what is there.
pub(crate) fn is_page(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    path.starts_with('/') && PAGES.contains(&parts.next().unwrap_or_default()) && !path.starts_with("//")
}

/// Whether a path is had without a key because it is the dashboard's.
pub(crate) fn is_open(path: &str) -> bool {
    is_page(path) || (path.starts_with("/assets/") && file(path).is_some())
}

/// Answers what no route has: the dashboard's files, its page at every address of a page, or that there is nothing.
pub(crate) async fn answer(request: Request) -> Response {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if path.starts_with("/assets/")
        && let Some(file) = file(path).filter(|_| reads)
    {
        return send(file, request.headers(), "public, max-age=31536000, immutable");
    }
    if is_page(path) {
        return if reads {
            page(request.headers())
        } else {
            Problem::new(Code::MethodNotAllowed, "a page is only read").into_response()
        };
    }
    Problem::new(Code::NotFound, "there is nothing at this path").into_response()
}

/// The page that every address of the dashboard begins with.
pub(crate) fn page(headers: &HeaderMap) -> Response {
    match file("/index.html") {
        Some(file) => send(file, headers, "no-cache"),
        None => ([(header::CACHE_CONTROL, "no-cache")], Html(NOT_BUILT)).into_response(),
    }
}

fn send(file: &File, asked: &HeaderMap, cache: &'static str) -> Response {
    let takes = |name: &str| {
        let values = asked.get_all(header::ACCEPT_ENCODING).iter();
        values.filter_map(|value| value.to_str().ok()).any(|value| {
            value.split(',').any(|one| {
                let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
                coding.trim().eq_ignore_ascii_case(name)
                    && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
            })
        })
    };
    let brotli = file.brotli.filter(|_| takes("br")).map(|body| (body, Some("br")));
    let gzip = || {
        file.gzip
            .filter(|_| takes("gzip"))
            .map(|body| (body, Some("gzip")))
    };
    let (body, coding) = brotli.or_else(gzip).unwrap_or((file.plain, None));
    let fixed = [
        (header::CONTENT_TYPE, kind(file.path)),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-encoding"),
    ];
    let mut response = (fixed, body).into_response();
    if let Some(coding) = coding {
        let value = HeaderValue::from_static(coding);
        response.headers_mut().insert(header::CONTENT_ENCODING, value);
    }
    response
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};
    use http_body_util::BodyExt;

    use super::{File, is_open, is_page, send};

    const SCRIPT: File = File {
        path: "/assets/app-1a2b.js",
        plain: b"plain",
        gzip: Some(b"gzip"),
        brotli: Some(b"brotli"),
    };

    async fn sent(accept: Option<&'static str>) -> (Option<String>, Vec<u8>) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
        }
        let response = send(&SCRIPT, &headers, "no-cache");
        let coding = response.headers().get(header::CONTENT_ENCODING);
        let coding = coding.and_then(|coding| coding.to_str().ok()).map(str::to_owned);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (coding, body.to_vec())
    }

    #[tokio::test]
    async fn a_file_is_packed_as_the_client_takes_it() {
        assert_eq!(sent(None).await, (None, b"plain".to_vec()));
        assert_eq!(
            sent(Some("gzip, deflate, br")).await,
            (Some("br".to_owned()), b"brotli".to_vec())
        );
        assert_eq!(
            sent(Some("br;q=0, GZIP")).await,
            (Some("gzip".to_owned()), b"gzip".to_vec())
        );
        assert_eq!(sent(Some("identity")).await, (None, b"plain".to_vec()));
    }

    #[test]
    fn only_pages_and_files_of_the_dashboard_are_open() {
        for page in ["/", "/jobs", "/jobs/me/66aa", "/datasets/me/one"] {
            assert!(is_page(page) && is_open(page), "{page}");
        }
        for other in [
            "/api",
            "/api/runs",
            "//jobs",
            "/jobsx",
            "/ws",
            "/metrics",
            "/v1/models",
            "",
            "/assets/../api",
        ] {
            assert!(!is_open(other), "{other}");
        }
    }
}
