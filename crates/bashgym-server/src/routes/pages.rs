//! Pages for people, without a script and without anything inline.

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header;

use super::session;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::{openapi, router};

const START: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Bash Gym</title>\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
    <link rel=\"stylesheet\" href=\"/assets/page.css\"></head><body><main><h1>Bash Gym</h1>\
    <p>The server runs. The dashboard is not part of this build; everything it would show is in the API.</p>\
    <p><a href=\"/api\">Browse the API</a> (sign in first: <code>bashgym up</code> gives a link that works once)</p>\
    <p>On the command line: <code>bashgym status</code>, <code>bashgym run</code>, <code>bashgym jobs ls</code>.</p>\
    </main></body></html>";

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(async || Html(START)))
        .route("/login", get(session::login))
        .route("/assets/page.css", get(style))
        .route("/api", get(browse))
}

async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("page.css")).into_response()
}

async fn browse() -> Result<Html<String>, Problem> {
    let description = serde_json::to_value(router::description())
        .map_err(|_| Problem::new(Code::Internal, "the description is no JSON"))?;
    Ok(Html(openapi::page(&description)))
}
