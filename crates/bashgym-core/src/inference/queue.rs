//! Calls on their way into the store: together, behind their callers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hf_core::Clock;

use super::calls::{CallFilter, CallId, CallStore, StoredCall, UsageBy, UsageRow};
use crate::store::StoreError;

/// How long calls wait for others to be written with.
const GATHER: Duration = Duration::from_millis(100);
/// Calls that are written at once, at most.
const BATCH: usize = 256;
/// Calls that wait, at most; then a caller waits for the store.
const MOST_WAITING: usize = 4096;

/// Writes calls together. Whoever reads sees them all; what waits is lost with a process that is killed, as statistics and not
/// as money: that is in the ledger.
pub struct CallQueue {
    inner: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn CallStore>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting>,
    /// One writes at a time.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    calls: Vec<StoredCall>,
    has_writer: bool,
}

impl CallQueue {
    /// A queue before a store.
    pub fn new(store: Arc<dyn CallStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Shared {
                store,
                clock,
                waiting: Mutex::default(),
                writing: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// [`StoreError::Backend`]; what was not written waits on.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush().await
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.writing.lock().await;
        loop {
            let batch: Vec<StoredCall> = {
                let mut waiting = self.lock();
                let count = waiting.calls.len().min(BATCH);
                waiting.calls.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.add_calls(&batch).await {
                self.lock().calls.splice(..0, batch);
                return Err(error);
            }
        }
    }

    async fn write(&self) {
        loop {
            self.clock.sleep(GATHER).await;
            let written = self.flush().await;
            let mut waiting = self.lock();
            if let Err(error) = &written {
                tracing::warn!(%error, "calls could not be remembered; they are tried again with the next one");
            }
            if written.is_err() || waiting.calls.is_empty() {
                waiting.has_writer = false;
                return;
            }
        }
    }
}

#[async_trait]
impl CallStore for CallQueue {
    async fn add_call(&self, call: &StoredCall) -> Result<(), StoreError> {
        let (is_full, needs_writer) = {
            let mut waiting = self.inner.lock();
            waiting.calls.push(call.clone());
            let is_full = waiting.calls.len() >= MOST_WAITING;
            (is_full, !std::mem::replace(&mut waiting.has_writer, true))
        };
        if needs_writer {
            let shared = Arc::clone(&self.inner);
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { shared.write().await })),
                Err(_) => self.inner.lock().has_writer = false,
            }
        }
        if is_full { self.flush().await } else { Ok(()) }
    }

    async fn find_call(&self, id: CallId) -> Result<Option<StoredCall>, StoreError> {
        self.flush().await?;
        self.inner.store.find_call(id).await
    }

    async fn list_calls(
        &self,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<StoredCall>, StoreError> {
        self.flush().await?;
        self.inner.store.list_calls(filter, before, limit).await
    }

    async fn list_call_usage(&self, by: UsageBy, limit: u32) -> Result<Vec<UsageRow>, StoreError> {
        self.flush().await?;
        self.inner.store.list_call_usage(by, limit).await
    }
}

#[cfg(test)]
mod tests {
    use hf_core::testing::ManualClock;
    use hf_inference::{CallRecord, CallReport, Cost};
    use jiff::Timestamp;

    use super::*;
    use crate::inference::MemoryCalls;

    fn call() -> StoredCall {
        StoredCall {
            id: CallId::generate(),
            call: CallRecord {
                at: Timestamp::UNIX_EPOCH,
                purpose: None,
                bill_to: None,
                succeeded: true,
                report: CallReport {
                    model: "m".to_owned(),
                    task: "conversational".to_owned(),
                    provider: None,
                    attempts: Vec::new(),
                    usage: None,
                    cost: Cost::Unknown,
                    millis: 1,
                },
            },
        }
    }

    #[tokio::test]
    async fn whoever_reads_sees_what_waits() {
        let store = Arc::new(MemoryCalls::default());
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let queue = CallQueue::new(store.clone(), clock);
        let calls: Vec<_> = (0..3).map(|_| call()).collect();
        for call in &calls {
            queue.add_call(call).await.unwrap();
        }
        let before = store.list_call_usage(UsageBy::Total, 1).await.unwrap();
        assert!(before.is_empty(), "nothing is written before its time");
        let seen = queue.list_call_usage(UsageBy::Total, 1).await.unwrap();
        assert_eq!(seen[0].sums.calls, 3);
        assert_eq!(
            queue.find_call(calls[1].id).await.unwrap().as_ref(),
            Some(&calls[1])
        );
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let store = Arc::new(MemoryCalls::default());
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let queue = CallQueue::new(store.clone(), clock);
        for _ in 0..MOST_WAITING {
            queue.add_call(&call()).await.unwrap();
        }
        let written = store.list_call_usage(UsageBy::Total, 1).await.unwrap();
        assert_eq!(written[0].sums.calls, MOST_WAITING as u64);
    }
}
