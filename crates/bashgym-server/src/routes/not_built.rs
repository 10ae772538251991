//! Routes of the design whose part is not in this build. Each says so; none pretends.

use axum::Router;
use axum::routing::{MethodFilter, on};
use http::Method;

use crate::problem::{Code, Problem};
use crate::state::AppState;

const SPACES: &str = "Spaces over REST; `bashgym space` has them";

/// Method, path, and what is missing.
pub(crate) const NOT_BUILT: &[(Method, &str, &str)] = &[
    (Method::POST, "/api/hf/spaces", SPACES),
    (Method::GET, "/api/hf/spaces", SPACES),
    (Method::GET, "/api/hf/spaces/{name}", SPACES),
    (Method::DELETE, "/api/hf/spaces/{name}", SPACES),
    (Method::GET, "/api/hf/spaces/{name}/logs", SPACES),
    (Method::GET, "/api/hf/spaces/{name}/secrets", SPACES),
    (Method::PUT, "/api/hf/spaces/{name}/secrets", SPACES),
    (Method::POST, "/api/hf/spaces/{name}/dev-mode", SPACES),
];

pub(super) fn routes() -> Router<AppState> {
    NOT_BUILT
        .iter()
        .fold(Router::new(), |router, (method, path, missing)| {
            let Ok(filter) = MethodFilter::try_from(method.clone()) else {
                return router;
            };
            let missing: &'static str = missing;
            let answer = async move || {
                Problem::new(Code::NotBuilt, format!("this build has no {missing}"))
                    .hint("GET /api/openapi.json lists what there is")
            };
            router.route(path, on(filter, answer))
        })
}
