//! Calls in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::calls::{CallFilter, CallId, CallStore, CallSums, StoredCall, UsageBy, UsageRow};
use crate::store::StoreError;

/// Remembers calls until the process ends.
#[derive(Debug, Default)]
pub struct MemoryCalls {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: BTreeMap<CallId, StoredCall>,
    sums: HashMap<(UsageBy, String), CallSums>,
}

impl MemoryCalls {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CallStore for MemoryCalls {
    async fn add_call(&self, call: &StoredCall) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.calls.insert(call.id, call.clone()).is_some() {
            return Ok(());
        }
        for by in UsageBy::ALL {
            let sums = inner.sums.entry((by, call.bucket(by))).or_default();
            *sums = sums.plus(call.sums());
        }
        Ok(())
    }

    async fn find_call(&self, id: CallId) -> Result<Option<StoredCall>, StoreError> {
        Ok(self.lock().calls.get(&id).cloned())
    }

    async fn list_calls(
        &self,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<StoredCall>, StoreError> {
        let fits = |stored: &&StoredCall| {
            let call = &stored.call;
            before.is_none_or(|before| stored.id < before)
                && filter
                    .model
                    .as_ref()
                    .is_none_or(|model| call.report.model == *model)
                && filter
                    .purpose
                    .as_ref()
                    .is_none_or(|_| call.purpose == filter.purpose)
                && filter.from.is_none_or(|from| call.at >= from)
        };
        let inner = self.lock();
        let newest_first = inner.calls.values().rev().filter(fits);
        Ok(newest_first.take(limit as usize).cloned().collect())
    }

    async fn list_call_usage(&self, by: UsageBy, limit: u32) -> Result<Vec<UsageRow>, StoreError> {
        let mut rows: Vec<_> = self
            .lock()
            .sums
            .iter()
            .filter(|((kind, _), _)| *kind == by)
            .map(|((_, bucket), sums)| UsageRow {
                bucket: bucket.clone(),
                sums: *sums,
            })
            .collect();
        if by == UsageBy::Day {
            rows.sort_by(|a, b| b.bucket.cmp(&a.bucket));
        } else {
            rows.sort_by(|a, b| {
                b.sums
                    .calls
                    .cmp(&a.sums.calls)
                    .then_with(|| a.bucket.cmp(&b.bucket))
            });
        }
        rows.truncate(limit as usize);
        Ok(rows)
    }
}
