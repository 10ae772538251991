//! The one reader of the log in a process, from which everybody hears.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bashgym_core::Clock;
use bashgym_core::events::facts::JOB_CREATED;
use bashgym_core::events::{Event, EventReader, LogPage, Topics};
use bashgym_core::store::StoreError;
use tokio::sync::{Mutex, Notify, broadcast};

/// How events are handed on.
#[derive(Debug, Clone, Copy)]
pub struct HubPolicy {
    /// How many events wait for the slowest listener before it is left to read them from the log. They are shared by all.
    pub backlog: usize,
    /// How many events are read at once.
    pub page: u32,
    /// How long is waited after the log could not be read.
    pub retry: Duration,
}

impl Default for HubPolicy {
    fn default() -> Self {
        Self {
            backlog: 1024,
            page: 256,
            retry: Duration::from_secs(1),
        }
    }
}

/// An event as it is sent: the same text for everybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its number.
    pub seq: u64,
    /// What happened.
    pub kind: String,
    /// What it is about.
    pub topic: String,
    /// The envelope, as JSON on one line.
    pub text: Utf8Bytes,
}

impl Frame {
    pub(super) fn of(event: Event) -> Self {
        // An event is made of what was read from JSON.
        let text = serde_json::to_string(&event).unwrap_or_default();
        Self {
            seq: event.seq,
            kind: event.kind,
            topic: event.topic,
            text: text.into(),
        }
    }
}

/// Hands events on. Cloning is cheap.
#[derive(Clone)]
pub struct EventHub {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) reader: EventReader,
    pub(super) policy: HubPolicy,
    clock: Arc<dyn Clock>,
    /// There while somebody listens.
    tail: Mutex<Option<broadcast::WeakSender<Arc<Frame>>>>,
    new_job: Notify,
}

impl EventHub {
    /// Makes a hub. It reads nothing while nobody listens.
    pub fn new(reader: EventReader, clock: Arc<dyn Clock>, policy: HubPolicy) -> Self {
        Self {
            shared: Arc::new(Shared {
                reader,
                policy,
                clock,
                tail: Mutex::new(None),
                new_job: Notify::new(),
            }),
        }
    }

    /// Returns when the log told of a job that some process launched. Only while somebody listens is the log read; each
    /// word wakes one who waits.
    pub async fn new_job(&self) {
        self.shared.new_job.notified().await;
    }

    /// What the hub reads.
    pub fn reader(&self) -> &EventReader {
        &self.shared.reader
    }

    /// Joins. Whatever is appended to the log after this returned is received, or, when too much comes at once, told to
    /// have been missed.
    pub(super) async fn join(&self) -> Result<broadcast::Receiver<Arc<Frame>>, StoreError> {
        let mut tail = self.shared.tail.lock().await;
        if let Some(sender) = tail.as_ref().and_then(broadcast::WeakSender::upgrade) {
            return Ok(sender.subscribe());
        }
        let from = self.shared.reader.log().bounds().await?.newest;
        let (sender, receiver) = broadcast::channel(self.shared.policy.backlog);
        *tail = Some(sender.downgrade());
        tokio::spawn(follow(Arc::clone(&self.shared), from, sender));
        Ok(receiver)
    }
}

/// Reads the log from after number `seq` on, while somebody listens.
async fn follow(shared: Arc<Shared>, mut seq: u64, sender: broadcast::Sender<Arc<Frame>>) {
    let mut watch = None;
    loop {
        let step = async {
            if watch.is_none() {
                watch = Some(shared.reader.log().watch().await?);
            }
            if let Some(watch) = &mut watch {
                watch.wait_after(seq).await?;
            }
            shared.read(seq).await
        };
        let read = tokio::select! {
            read = step => read,
            () = deserted(&shared, &sender) => return,
        };
        match read {
            Ok(frames) => {
                for frame in frames {
                    seq = frame.seq;
                    if frame.kind == JOB_CREATED {
                        shared.new_job.notify_one();
                    }
                    // That nobody hears it is seen at the next step.
                    let _ = sender.send(frame);
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the log of events can not be read now; it is tried again"
                );
                watch = None;
                shared.clock.sleep(shared.policy.retry).await;
            }
        }
    }
}

/// Returns when nobody listens any more; whoever comes then starts another tail.
async fn deserted(shared: &Shared, sender: &broadcast::Sender<Arc<Frame>>) {
    loop {
        sender.closed().await;
        let mut tail = shared.tail.lock().await;
        if sender.receiver_count() == 0 {
            *tail = None;
            return;
        }
    }
}

impl Shared {
    /// Reads what comes after number `seq`. Events that were dropped before they were read are left out: each listener sees
    /// the gap in the numbers and looks into the log itself.
    async fn read(&self, seq: u64) -> Result<Vec<Arc<Frame>>, StoreError> {
        let page = match self.reader.read(seq, &Topics::all(), self.policy.page).await? {
            Ok(page) => page,
            Err(_) => self.read_oldest().await?,
        };
        Ok(page.events.into_iter().map(Frame::of).map(Arc::new).collect())
    }

    async fn read_oldest(&self) -> Result<LogPage, StoreError> {
        let before = self.reader.log().bounds().await?.oldest.saturating_sub(1);
        let page = self.reader.read(before, &Topics::all(), self.policy.page).await?;
        Ok(page.unwrap_or_default())
    }
}
