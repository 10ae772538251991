//! Calls on their way into the store: together, behind their callers.

use std::sync::Arc;

use async_trait::async_trait;
use hf_core::Clock;

use super::calls::{CallFilter, CallId, CallStore, StoredCall, UsageBy, UsageRow};
use crate::store::{Batches, StoreError, WriteBehind};

/// Writes calls together. Whoever reads sees them all; what waits is lost with a process that is killed, as statistics and not
/// as money: that is in the ledger.
pub struct CallQueue {
    store: Arc<dyn CallStore>,
    waiting: WriteBehind<StoredCall>,
}

struct IntoStore(Arc<dyn CallStore>);

#[async_trait]
impl Batches<StoredCall> for IntoStore {
    async fn write(&self, batch: &mut [StoredCall]) -> Result<(), StoreError> {
        self.0.add_calls(batch).await
    }
}

impl CallQueue {
    /// A queue before a store.
    pub fn new(store: Arc<dyn CallStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            waiting: WriteBehind::new(IntoStore(Arc::clone(&store)), clock),
            store,
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// [`StoreError::Backend`]; what was not written waits on.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.waiting.flush().await
    }
}

#[async_trait]
impl CallStore for CallQueue {
    async fn add_call(&self, call: &StoredCall) -> Result<(), StoreError> {
        if !self.waiting.push(call.clone()) {
            tracing::warn!(call = %call.id, "a call is not remembered: the store is far behind");
        }
        if self.waiting.is_behind() {
            return self.flush().await;
        }
        Ok(())
    }

    async fn find_call(&self, id: CallId) -> Result<Option<StoredCall>, StoreError> {
        self.flush().await?;
        self.store.find_call(id).await
    }

    async fn list_calls(
        &self,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<StoredCall>, StoreError> {
        self.flush().await?;
        self.store.list_calls(filter, before, limit).await
    }

    async fn list_call_usage(&self, by: UsageBy, limit: u32) -> Result<Vec<UsageRow>, StoreError> {
        self.flush().await?;
        self.store.list_call_usage(by, limit).await
    }
}

#[cfg(test)]
mod tests {
    use hf_core::testing::ManualClock;
    use hf_inference::{CallRecord, CallReport, Cost};
    use jiff::Timestamp;

    use super::*;
    use crate::inference::MemoryCalls;
    use crate::store::MOST_WAITING;

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
