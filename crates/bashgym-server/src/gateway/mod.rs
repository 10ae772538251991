//! `OpenAI`'s API, for whatever tool knows nothing else: one address for the student, Hugging Face and the teacher.
//!
//! A name says who is meant: `bashgym/auto` lets the router choose, `bashgym/student` and `teacher` name a part, and
//! `hf/<model>` any model at Hugging Face. Calls are paid within the budget and remembered like all others.

mod backends;
mod chat;
mod embeddings;
mod error;
mod models;
mod names;
mod request;
mod stream;
mod unread;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use bashgym_core::backend::Upstream;
use bashgym_core::router::{ExchangeGate, MemoryRoutes, RouteStore, RouterPolicy};
use hf_core::{HttpTransport, ReqwestTransport};
use hf_inference::ModelRef;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::backends::Gateway;
pub(crate) use self::error::{ErrorBody, respond};
use crate::state::AppState;

/// The largest body: conversations carry images.
pub(crate) const LARGEST_BODY: usize = 32 * 1024 * 1024;
/// The longest an answer's head may take: a model writes a whole answer before it comes.
pub(crate) const LONGEST_REQUEST: Duration = Duration::from_mins(10);

/// Whether a path is one of `OpenAI`'s API, whose errors have its shape.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_prefix("/v1")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The models behind the gateway's names. Addresses are fixed here, when the server starts.
#[derive(Clone)]
pub struct GatewayParts {
    /// Models at addresses of their own: the teacher, perhaps the student.
    pub upstreams: Vec<Upstream>,
    /// The student, where the Hub serves it.
    pub student: Option<ModelRef>,
    /// The model at Hugging Face that may be chosen.
    pub hf: Option<ModelRef>,
    /// Whether calls are made whose price nobody names.
    pub allow_unknown_price: bool,
    /// How `bashgym/auto` chooses.
    pub policy: RouterPolicy,
    /// What exchanges pass before they are kept; without it none is.
    pub gate: Option<Arc<dyn ExchangeGate>>,
    /// Where decisions are kept.
    pub routes: Arc<dyn RouteStore>,
    /// What sends to the upstreams.
    pub transport: Arc<dyn HttpTransport>,
}

impl Default for GatewayParts {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            student: None,
            hf: None,
            allow_unknown_price: false,
            policy: RouterPolicy::default(),
            gate: None,
            routes: Arc::new(MemoryRoutes::default()),
            transport: Arc::new(ReqwestTransport::new()),
        }
    }
}

impl fmt::Debug for GatewayParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayParts")
            .field("upstreams", &self.upstreams)
            .field("student", &self.student)
            .field("hf", &self.hf)
            .finish_non_exhaustive()
    }
}

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(chat::create_chat_completion))
        .routes(routes!(embeddings::create_embeddings))
        .routes(routes!(models::list_models))
        .routes(routes!(models::show_model))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
}
