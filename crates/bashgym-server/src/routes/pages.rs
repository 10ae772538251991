//! Pages for people: the dashboard, signing in, and the API to browse without a script.

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, header};

use super::session;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::{dashboard, openapi, router};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| dashboard::page(&headers)))
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
