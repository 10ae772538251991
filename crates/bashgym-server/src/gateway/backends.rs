//! The models behind the names and the router that chooses among them, made once and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bashgym_core::backend::{BackendRole, Desk, HfBackend, ModelBackend};
use bashgym_core::inference::{InferenceDesk, UnknownPrice};
use bashgym_core::ledger::Book;
use bashgym_core::router::{Router, Wish};
use hf_core::Clock;
use hf_inference::{HfInferenceConfig, ModelRef};

use super::GatewayParts;
use super::names::Asked;
use super::unread::Unread;
use crate::parts::HubConnection;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// For how long a connection is taken to be as it was: looking costs reading files.
const LOOK_LASTS: Duration = Duration::from_secs(1);
/// Models at Hugging Face that are kept ready, each by the name it was asked for.
const MOST_NAMED: usize = 64;

/// What is kept between requests.
#[derive(Default)]
pub(crate) struct Gateway {
    kept: Mutex<Option<Kept>>,
    /// Upstreams are fixed; their breakers outlive every connection.
    upstreams: Mutex<Option<Vec<HfBackend>>>,
}

#[derive(Clone)]
struct Kept {
    until: Duration,
    hub: Option<HubConnection>,
    backends: Arc<Backends>,
}

/// The models that can be asked, now.
pub(crate) struct Backends {
    /// Chooses among the models of this server.
    router: Router,
    /// Those that were asked for by name; nobody chooses there.
    named: Mutex<HashMap<ModelRef, Router>>,
    gateway: GatewayParts,
    clock: Arc<dyn Clock>,
    /// Where models at Hugging Face are paid, or why there is none.
    desk: Result<InferenceDesk, Problem>,
    /// When this server began to offer them, in seconds since 1970.
    pub(super) since: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn same(one: Option<&HubConnection>, other: Option<&HubConnection>) -> bool {
    let token = |hub: &HubConnection| hub.client.token().map(|token| token.expose().to_owned());
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.client.endpoint() == other.client.endpoint() && token(one) == token(other)
        }
        _ => false,
    }
}

impl Gateway {
    /// The models as they can be asked now.
    ///
    /// # Errors
    /// [`Problem`] of code `ending`, or `internal` when an upstream's settings can not work.
    pub(crate) async fn backends(&self, state: &AppState) -> Result<Arc<Backends>, Problem> {
        if state.ending.is_cancelled() {
            return Err(Problem::new(Code::Ending, "the server is ending").retry_after(5));
        }
        let now = state.parts.clock.elapsed();
        let kept = lock(&self.kept).clone();
        if let Some(kept) = &kept
            && now < kept.until
        {
            return Ok(Arc::clone(&kept.backends));
        }
        let (hub, why) = match state.hub().await {
            Ok(hub) => (Some(hub), None),
            Err(problem) => (None, Some(problem)),
        };
        let until = now.saturating_add(LOOK_LASTS);
        if let Some(kept) = kept
            && hub.is_some()
            && same(kept.hub.as_ref(), hub.as_ref())
        {
            let backends = Arc::clone(&kept.backends);
            *lock(&self.kept) = Some(Kept { until, ..kept });
            return Ok(backends);
        }
        let desk = match (&hub, why) {
            (Some(hub), _) => desk(state, hub),
            (None, Some(problem)) => Err(problem),
            (None, None) => Err(Problem::new(Code::Internal, "there is no Hub")),
        };
        let parts = &state.parts;
        let list = self.list(state, desk.as_ref().ok())?;
        // Money that is really spent is watched, where some is.
        let book = match &hub {
            Some(hub) if parts.gateway.upstreams.is_empty() => Book::at(hub.client.endpoint()),
            _ => Book::Account,
        };
        let (gateway, clock) = (parts.gateway.clone(), Arc::clone(&parts.clock));
        let mut router = Router::new(
            list,
            gateway.policy.clone(),
            Arc::clone(&gateway.routes),
            Arc::clone(&clock),
        )
        .with_ledger(parts.ledger.in_book(book));
        if let Some(gate) = &gateway.gate {
            router = router.with_gate(Arc::clone(gate));
        }
        let backends = Arc::new(Backends {
            router,
            named: Mutex::default(),
            gateway,
            clock,
            desk,
            since: state.parts.clock.now().as_second(),
        });
        *lock(&self.kept) = Some(Kept {
            until,
            hub,
            backends: Arc::clone(&backends),
        });
        Ok(backends)
    }

    /// Writes decisions that wait.
    pub(crate) async fn flush(&self) {
        let Some(kept) = lock(&self.kept).clone() else {
            return;
        };
        let named: Vec<Router> = lock(&kept.backends.named).values().cloned().collect();
        for router in named.into_iter().chain([kept.backends.router.clone()]) {
            if let Err(error) = router.flush().await {
                tracing::warn!(%error, "decisions could not be kept");
            }
        }
    }

    fn list(
        &self,
        state: &AppState,
        desk: Option<&InferenceDesk>,
    ) -> Result<Vec<Arc<dyn ModelBackend>>, Problem> {
        let parts = &state.parts.gateway;
        let at_the_hub = |model: &Option<ModelRef>, role| {
            let model = model.clone()?;
            let backend = HfBackend::new(desk?.clone(), model).with_role(role);
            Some(Arc::new(backend) as Arc<dyn ModelBackend>)
        };
        let mut list: Vec<Arc<dyn ModelBackend>> = Vec::new();
        list.extend(at_the_hub(&parts.student, BackendRole::Student));
        list.extend(at_the_hub(&parts.hf, BackendRole::Hf));
        for upstream in self.upstreams(state)? {
            list.push(Arc::new(upstream));
        }
        list.sort_by_key(|backend| backend.role());
        Ok(list)
    }

    fn upstreams(&self, state: &AppState) -> Result<Vec<HfBackend>, Problem> {
        let mut made = lock(&self.upstreams);
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        let parts = &state.parts;
        let all = parts.gateway.upstreams.iter().map(|upstream| {
            // A server on this machine is paid to nobody.
            let free = upstream.url.is_loopback() && upstream.price.is_none();
            let desk = Desk {
                budget: Arc::new(state.purse(Book::Account)),
                calls: Arc::clone(&parts.calls),
                unknown_price: UnknownPrice::at(free, parts.gateway.allow_unknown_price),
                clock: Arc::clone(&parts.clock),
                transport: Arc::clone(&parts.gateway.transport),
            };
            upstream.backend(desk, patient())
        });
        let all: Vec<HfBackend> = all.collect::<Result<_, _>>()?;
        *made = Some(all.clone());
        Ok(all)
    }
}

/// A whole answer of a large model takes its time.
fn patient() -> HfInferenceConfig {
    HfInferenceConfig {
        timeout: Duration::from_mins(5),
        deadline: Duration::from_mins(9),
        ..HfInferenceConfig::default()
    }
}

fn desk(state: &AppState, hub: &HubConnection) -> Result<InferenceDesk, Problem> {
    let unknown = UnknownPrice::at(hub.embedded, state.parts.gateway.allow_unknown_price);
    Ok(InferenceDesk::new(
        &hub.client,
        patient(),
        Arc::new(state.purse(Book::at(hub.client.endpoint()))),
        Arc::clone(&state.parts.calls),
        unknown,
    )?)
}

impl Backends {
    /// Where models at Hugging Face are paid.
    ///
    /// # Errors
    /// [`Problem`]: why there is no Hub.
    pub(super) fn desk(&self) -> Result<&InferenceDesk, Problem> {
        self.desk.as_ref().map_err(Clone::clone)
    }

    /// Who chooses among the models of this server.
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    pub(super) fn is_empty(&self) -> bool {
        self.router.backends().is_empty()
    }

    pub(super) fn plays(&self, role: BackendRole) -> bool {
        self.router
            .backends()
            .iter()
            .any(|backend| backend.role() == role)
    }

    /// Who chooses, and what is wished of it.
    ///
    /// # Errors
    /// [`Problem`]: why there is no Hub, for a model there.
    pub(super) fn route(&self, asked: &Asked) -> Result<(Router, Wish), Problem> {
        match asked {
            Asked::Auto => Ok((self.router.clone(), Wish::Auto)),
            Asked::Role(role) => Ok((self.router.clone(), Wish::Role(*role))),
            Asked::Hf(model) => {
                let mut named = lock(&self.named);
                if let Some(router) = named.get(model) {
                    return Ok((router.clone(), Wish::Role(BackendRole::Hf)));
                }
                let backend: Arc<dyn ModelBackend> =
                    Arc::new(HfBackend::new(self.desk()?.clone(), model.clone()));
                let router = Router::new(
                    vec![backend],
                    self.gateway.policy.clone(),
                    Arc::new(Unread(Arc::clone(&self.gateway.routes))),
                    Arc::clone(&self.clock),
                );
                if named.len() >= MOST_NAMED {
                    named.clear();
                }
                named.insert(model.clone(), router.clone());
                Ok((router, Wish::Role(BackendRole::Hf)))
            }
        }
    }
}
