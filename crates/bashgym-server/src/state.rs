//! What every handler gets.

use std::fmt::Display;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bashgym_core::events::EventReader;
use bashgym_core::inference::{CallQueue, InferenceDesk, UnknownPrice};
use bashgym_core::launch::{BoardPolicy, JobBoard};
use bashgym_core::ledger::{Book, Purse};
use bashgym_core::task::TaskService;
use hf_inference::HfInferenceConfig;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Did, note};
use crate::gateway::Gateway;
use crate::live::{EventHub, HubPolicy, LiveLimits, LiveState};
use crate::meter::Meter;
use crate::parts::{HubConnection, ServerParts};
use crate::problem::{Code, Problem};
use crate::replay::Replays;
use crate::security::Guard;
use crate::space_watch::SpaceWatch;

/// The state of a server. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Inner>);

/// What a server knows.
pub(crate) struct Inner {
    pub(crate) parts: ServerParts,
    pub(crate) guard: Guard,
    pub(crate) tasks: TaskService,
    pub(crate) meter: Meter,
    pub(crate) replays: Replays,
    /// Work that goes on after its request: it is waited for at the end.
    pub(crate) work: TaskTracker,
    /// Fires when a job was launched here, so that it is followed at once.
    pub(crate) launched: Notify,
    /// The jobs of namespaces, as they were seen.
    pub(crate) board: JobBoard,
    /// The connection that was made last.
    last_hub: Mutex<Option<HubConnection>>,
    /// The Spaces that are about to change.
    pub(crate) spaces: Arc<SpaceWatch>,
    /// Live events.
    pub(crate) live: LiveState,
    /// Where calls of models are paid for, and the connection it is for: its breakers and prices outlive a request.
    desk: Mutex<Option<(HubConnection, InferenceDesk)>>,
    /// The models behind the gateway's names.
    pub(crate) gateway: Gateway,
    /// Where calls wait to be remembered.
    calls: Arc<CallQueue>,
    /// What the gateway's calls are paid out of, a purse for each book.
    purses: [Purse; 2],
    /// Fires when the server begins to end.
    pub(crate) ending: CancellationToken,
}

impl AppState {
    pub(crate) fn new(mut parts: ServerParts, guard: Guard) -> Self {
        let calls = Arc::new(CallQueue::new(Arc::clone(&parts.calls), Arc::clone(&parts.clock)));
        parts.calls = calls.clone();
        let purses = Book::ALL.map(|book| Purse::new(parts.ledger.in_book(book)));
        let spaces = Arc::new(SpaceWatch::default());
        let tasks = crate::routes::task_service(&parts, &spaces);
        let ending = CancellationToken::new();
        let board = JobBoard::new(
            Arc::clone(&parts.seen),
            Arc::clone(&parts.clock),
            BoardPolicy::default(),
        );
        let reader = EventReader::new(Arc::clone(&parts.events), parts.jobs.clone());
        let hub = EventHub::new(reader, Arc::clone(&parts.clock), HubPolicy::default());
        let live = LiveState::new(hub, LiveLimits::default(), ending.clone());
        Self(Arc::new(Inner {
            parts,
            guard,
            tasks,
            meter: Meter::default(),
            replays: Replays::default(),
            work: TaskTracker::new(),
            launched: Notify::new(),
            board,
            last_hub: Mutex::default(),
            spaces,
            live,
            desk: Mutex::default(),
            gateway: Gateway::default(),
            calls,
            purses,
            ending,
        }))
    }

    /// The Hub as it is configured now.
    ///
    /// # Errors
    /// [`Problem`] of code `hub_auth` or `hub_unreachable`; `ending` when no new work begins.
    pub(crate) async fn hub(&self) -> Result<HubConnection, Problem> {
        if self.ending.is_cancelled() {
            return Err(Problem::new(Code::Ending, "the server is ending").retry_after(5));
        }
        let hub = self.parts.composition.connect().await?;
        *self.last_hub.lock().unwrap_or_else(PoisonError::into_inner) = Some(hub.clone());
        Ok(hub)
    }

    /// The connection that was made last, which may not work now.
    pub(crate) fn last_hub(&self) -> Option<HubConnection> {
        self.last_hub
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl AppState {
    /// Notes that something was done which somebody may ask about later.
    pub(crate) async fn audit(&self, did: Did, action: &'static str, of: impl Display) {
        note(&*self.parts.events, did, action, of).await;
    }

    /// What the gateway's calls are paid out of, in a book.
    pub(crate) fn purse(&self, book: Book) -> Purse {
        let [account, simulated] = &self.purses;
        match book {
            Book::Account => account.clone(),
            Book::Simulated => simulated.clone(),
        }
    }

    /// Writes what waits in memory into the store.
    pub(crate) async fn flush(&self) {
        for purse in &self.purses {
            if let Err(error) = purse.flush().await {
                tracing::warn!(%error, "what calls cost could not be written down; what was reserved for them stays so");
            }
        }
        if let Err(error) = self.calls.flush().await {
            tracing::warn!(%error, "calls could not be remembered");
        }
        self.gateway.flush().await;
    }

    /// The desk of a connection; a new one when the token changed.
    ///
    /// # Errors
    /// [`Problem`] when there is no router beside the Hub.
    pub(crate) fn desk(&self, hub: &HubConnection) -> Result<InferenceDesk, Problem> {
        let mut kept = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let token = |hub: &HubConnection| hub.client.token().map(|token| token.expose().to_owned());
        if let Some((of, desk)) = kept.as_ref()
            && of.client.endpoint() == hub.client.endpoint()
            && token(of) == token(hub)
        {
            return Ok(desk.clone());
        }
        let desk = InferenceDesk::new(
            &hub.client,
            HfInferenceConfig::default(),
            Arc::new(self.parts.ledger.at(hub.client.endpoint())),
            Arc::clone(&self.parts.calls),
            UnknownPrice::Refuse,
        )?;
        *kept = Some((hub.clone(), desk.clone()));
        Ok(desk)
    }
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
