//! Questions and their answers between the call that asks and the stream that listens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::host::AppHost;
use crate::inference::{Said, Wanted};

/// Questions that are not answered yet, at most; the queue of the template's app.
const MAX_WAITING: usize = 32;
/// Sessions that somebody still has to listen to, at most.
const MAX_SESSIONS: usize = 256;
/// How long an answer waits for a listener.
const KEPT_MS: i64 = 10 * 60 * 1_000;

/// A question within the limits of its Space, or what is wrong with it.
pub(super) type Question = Result<(String, Wanted), String>;

/// What is told of a question.
#[derive(Debug)]
pub(super) enum News {
    Queued { rank: usize },
    Started,
    Piece(String),
    Done { seconds: f64 },
    Cancelled,
    Failed(String),
}

/// News of one question.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) event: String,
    pub(super) news: News,
}

/// What a listener reads.
pub(super) type Listening = mpsc::UnboundedReceiver<Message>;

/// The sessions of a Space.
#[derive(Debug)]
pub(crate) struct Sessions {
    all: Mutex<HashMap<String, Session>>,
    /// One answer at a time, as the app of the template gives them.
    turn: Arc<Semaphore>,
}

#[derive(Debug)]
struct Session {
    // Not bounded by itself: an answer has at most as many pieces as the Space allows tokens.
    sender: mpsc::UnboundedSender<Message>,
    receiver: Option<Listening>,
    events: HashMap<String, Event>,
    touched_ms: i64,
}

#[derive(Debug)]
struct Event {
    cancel: CancellationToken,
    /// Whether it was the visitor who ended it: only then is an answer that breaks off no failure.
    is_asked: Arc<AtomicBool>,
    is_over: bool,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Sessions {
    /// Puts a question into the queue; none when it is full. `session` is the listener's; a question of its own has none.
    pub(super) fn join(
        &self,
        host: &Arc<dyn AppHost>,
        session: Option<&str>,
        question: Question,
    ) -> Option<String> {
        let event = uuid::Uuid::new_v4().simple().to_string();
        let name = session.unwrap_or(&event).to_owned();
        let now = host.now_ms();
        let cancel = host.closing().child_token();
        let mut all = self.all();
        let waiting = waiting(&all);
        if waiting >= MAX_WAITING || (all.len() >= MAX_SESSIONS && !all.contains_key(&name)) {
            return None;
        }
        let session = all.entry(name.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            Session {
                sender,
                receiver: Some(receiver),
                events: HashMap::new(),
                touched_ms: now,
            }
        });
        session.touched_ms = now;
        let is_asked = Arc::new(AtomicBool::new(false));
        let pending = Event {
            cancel: cancel.clone(),
            is_asked: Arc::clone(&is_asked),
            is_over: false,
        };
        session.events.insert(event.clone(), pending);
        let teller = Teller {
            sender: session.sender.clone(),
            event: event.clone(),
        };
        drop(all);
        teller.tell(News::Queued { rank: waiting });
        let host = Arc::clone(host);
        let turn = Arc::clone(&self.turn);
        tokio::spawn(async move {
            let work = async {
                let _turn = turn.acquire_owned().await;
                teller.tell(News::Started);
                answer(&*host, question, &teller).await
            };
            let last = tokio::select! {
                () = cancel.cancelled() => if is_asked.load(Ordering::Relaxed) {
                    News::Cancelled
                } else {
                    News::Failed("The app was stopped before the answer was whole.".to_owned())
                },
                last = work => last,
            };
            host.touch();
            host.sessions().over(&name, &teller.event);
            teller.tell(last);
        });
        Some(event)
    }

    /// Begins to listen to a session; none when there is no such session, or somebody listens already.
    pub(super) fn listen(&self, session: &str) -> Option<Listening> {
        self.all().get_mut(session)?.receiver.take()
    }

    /// Notes that the end of a question was told. Says whether the session is over, which ends it.
    pub(super) fn told(&self, session: &str, event: &str) -> bool {
        let mut all = self.all();
        let Some(found) = all.get_mut(session) else {
            return true;
        };
        found.events.remove(event);
        let is_over = found.events.is_empty();
        if is_over {
            all.remove(session);
        }
        is_over
    }

    /// Ends a session that nobody listens to any more, and its questions.
    pub(super) fn leave(&self, session: &str) {
        if let Some(session) = self.all().remove(session) {
            session.cancel();
        }
    }

    /// Ends the work on one question; one that is not there is fine.
    pub(super) fn cancel(&self, event: &str) {
        for session in self.all().values() {
            if let Some(event) = session.events.get(event) {
                event.is_asked.store(true, Ordering::Relaxed);
                event.cancel.cancel();
            }
        }
    }

    /// Whether a question waits for its answer.
    pub(crate) fn is_busy(&self) -> bool {
        waiting(&self.all()) > 0
    }

    /// Forgets answers that nobody came for.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.all().retain(|_, session| {
            let keep = session.receiver.is_none()
                || session.events.values().any(|event| !event.is_over)
                || now_ms.saturating_sub(session.touched_ms) < KEPT_MS;
            if !keep {
                session.cancel();
            }
            keep
        });
    }

    /// Ends everything.
    pub(crate) fn close(&self) {
        for (_, session) in self.all().drain() {
            session.cancel();
        }
    }

    fn over(&self, session: &str, event: &str) {
        if let Some(found) = self.all().get_mut(session)
            && let Some(event) = found.events.get_mut(event)
        {
            event.is_over = true;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn cancel(&self) {
        for event in self.events.values() {
            event.cancel.cancel();
        }
    }
}

fn waiting(all: &HashMap<String, Session>) -> usize {
    all.values()
        .flat_map(|session| session.events.values())
        .filter(|event| !event.is_over)
        .count()
}

struct Teller {
    sender: mpsc::UnboundedSender<Message>,
    event: String,
}

impl Teller {
    fn tell(&self, news: News) {
        let event = self.event.clone();
        // Whoever does not listen any more has cancelled the work too.
        let _ = self.sender.send(Message { event, news });
    }
}

async fn answer(host: &dyn AppHost, question: Question, teller: &Teller) -> News {
    let (prompt, wanted) = match question {
        Ok(question) => question,
        Err(why) => return News::Failed(why),
    };
    let began = host.now_ms();
    let seconds = || (host.now_ms() - began) as f64 / 1_000.0;
    let mut answering = match host.answer(&prompt, wanted).await {
        Ok(answering) => answering,
        Err(why) => return News::Failed(why),
    };
    loop {
        match answering.next().await {
            Said::Text(text) => teller.tell(News::Piece(text)),
            Said::End { tokens } => {
                let seconds = seconds();
                host.log(measured(tokens, seconds));
                return News::Done { seconds };
            }
            Said::Failed(why) => {
                host.log(format!("ERROR: a request failed: {why}"));
                return News::Failed(why);
            }
        }
    }
}

/// What the log tells of a request, in the words of the template's own app: nothing of what was asked.
fn measured(tokens: u64, seconds: f64) -> String {
    serde_json::json!({"bashgym_request": {"tokens": tokens, "seconds": seconds}}).to_string()
}
