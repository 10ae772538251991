//! One client's place in the log.

use std::collections::VecDeque;
use std::sync::Arc;

use bashgym_core::events::{BadTopic, Topics};
use bashgym_core::store::StoreError;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::hub::{EventHub, Frame};

/// How many events are handed on at once.
const BATCH: usize = 256;
/// How many events are read at once by a client that catches up.
const PAGE: u32 = 64;

/// What a subscription has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Events, in order.
    Events(Vec<Arc<Frame>>),
    /// What was missed can not be told any more; the stream goes on after this number.
    Resync(u64),
}

/// A client's topics, and how far it is.
pub struct Subscription {
    hub: EventHub,
    live: broadcast::Receiver<Arc<Frame>>,
    topics: Topics,
    /// Everything of the topics up to this number was told.
    seq: u64,
    /// Whether the log is to be read before what comes live.
    behind: bool,
    /// What came live while the log was read.
    held: VecDeque<Arc<Frame>>,
}

impl Subscription {
    /// Begins to listen, after number `after`, or to what happens from now on.
    ///
    /// # Errors
    /// [`StoreError`] when the log can not be read.
    pub async fn begin(hub: &EventHub, topics: Topics, after: Option<u64>) -> Result<Self, StoreError> {
        // Joined before the log is looked at, so that nothing falls between.
        let live = hub.join().await?;
        let newest = hub.reader().log().bounds().await?.newest;
        Ok(Self {
            hub: hub.clone(),
            live,
            topics,
            seq: after.unwrap_or(newest),
            behind: after.is_some_and(|after| after != newest),
            held: VecDeque::new(),
        })
    }

    /// What is listened to.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The number up to which everything was told.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Listens to more. With `after` the stream goes back, or ahead, to after that number, for all topics.
    ///
    /// # Errors
    /// [`BadTopic`]; nothing changes then.
    pub fn subscribe(&mut self, topics: &[String], after: Option<u64>) -> Result<(), BadTopic> {
        self.topics.add(topics)?;
        if let Some(after) = after {
            self.seq = after;
            self.behind = true;
        }
        Ok(())
    }

    /// Listens to less.
    ///
    /// # Errors
    /// [`BadTopic`].
    pub fn unsubscribe(&mut self, topics: &[String]) -> Result<(), BadTopic> {
        self.topics.remove(topics)
    }

    /// Waits for what there is to tell next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the log can not be read.
    pub async fn next(&mut self) -> Result<News, StoreError> {
        loop {
            if self.behind {
                match self.catch_up().await? {
                    News::Events(events) if events.is_empty() => continue,
                    news => return Ok(news),
                }
            }
            let frame = match self.held.pop_front() {
                Some(frame) => frame,
                None => match self.live.recv().await {
                    Ok(frame) => frame,
                    Err(RecvError::Lagged(_)) => {
                        self.behind = true;
                        continue;
                    }
                    Err(RecvError::Closed) => {
                        // The tail died. Whatever it was that killed it, another one goes on.
                        self.live = self.hub.join().await?;
                        self.behind = true;
                        continue;
                    }
                },
            };
            let mut events = Vec::new();
            self.take(frame, &mut events);
            while !self.behind && events.len() < BATCH {
                match self.held.pop_front().map_or_else(|| self.live.try_recv(), Ok) {
                    Ok(frame) => self.take(frame, &mut events),
                    Err(TryRecvError::Lagged(_)) => self.behind = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            if !events.is_empty() {
                return Ok(News::Events(events));
            }
        }
    }

    /// Takes a live event in its turn; one that comes too early shows that others were missed.
    fn take(&mut self, frame: Arc<Frame>, events: &mut Vec<Arc<Frame>>) {
        if frame.seq <= self.seq {
            return;
        }
        if frame.seq > self.seq.saturating_add(1) {
            self.behind = true;
            self.held.push_front(frame);
            return;
        }
        self.seq = frame.seq;
        if self.topics.contains(&frame.topic) {
            events.push(frame);
        }
    }

    /// Reads a page of what was missed.
    async fn catch_up(&mut self) -> Result<News, StoreError> {
        if self.topics.is_empty() {
            // Nothing to be told, so nothing was missed.
            self.seq = self.hub.reader().log().bounds().await?.newest;
            self.behind = false;
            return Ok(News::Events(Vec::new()));
        }
        match self.hub.reader().read(self.seq, &self.topics, PAGE).await? {
            Ok(page) => {
                self.behind = page.more;
                self.seq = page.up_to;
                Ok(News::Events(
                    page.events.into_iter().map(Frame::of).map(Arc::new).collect(),
                ))
            }
            Err(missed) => {
                self.seq = missed.newest;
                self.behind = false;
                Ok(News::Resync(missed.newest))
            }
        }
    }
}
