//! A ledger that forgets when the process ends; for tests, and for a run that asks to leave nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::books::{
    Buckets, EntryCursor, EntryFilter, LedgerStore, LedgerTransaction, Sums, Totals, UsageBy, UsageRow,
};
use super::{Book, Cap, CapScope, EntryState, Holder, LedgerEntry, Service, Window};
use crate::store::StoreError;

/// Keeps the ledger in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    entries: BTreeMap<String, LedgerEntry>,
    sums: BTreeMap<(Book, UsageBy, String, Service), Totals>,
    caps: BTreeMap<(CapScope, Window), Cap>,
}

/// A change works on a copy, which takes the place of the original when it is committed.
struct Change {
    guard: OwnedMutexGuard<Inner>,
    copy: Inner,
}

#[async_trait]
impl LedgerStore for MemoryLedger {
    async fn begin_ledger(&self) -> Result<Box<dyn LedgerTransaction>, StoreError> {
        let guard = Arc::clone(&self.inner).lock_owned().await;
        let copy = guard.clone();
        Ok(Box::new(Change { guard, copy }))
    }

    async fn find_entry(&self, key: &str) -> Result<Option<LedgerEntry>, StoreError> {
        Ok(self.inner.lock().await.entries.get(key).cloned())
    }

    async fn list_entries(
        &self,
        filter: &EntryFilter,
        after: Option<&EntryCursor>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        let inner = self.inner.lock().await;
        let mut found: Vec<&LedgerEntry> = inner
            .entries
            .values()
            .filter(|entry| filter.book.is_none_or(|book| entry.book == book))
            .filter(|entry| filter.service.is_none_or(|service| entry.service == service))
            .filter(|entry| filter.run.is_none() || entry.run == filter.run)
            .filter(|entry| {
                filter
                    .purpose
                    .as_ref()
                    .is_none_or(|purpose| entry.purpose == *purpose)
            })
            .filter(|entry| filter.from.is_none_or(|from| entry.reserved_at >= from))
            .filter(|entry| filter.until.is_none_or(|until| entry.reserved_at < until))
            .filter(|entry| {
                after.is_none_or(|after| {
                    (entry.reserved_at, entry.key.as_str()) < (after.reserved_at, after.key.as_str())
                })
            })
            .collect();
        found.sort_by(|a, b| (b.reserved_at, &b.key).cmp(&(a.reserved_at, &a.key)));
        Ok(found.into_iter().take(limit as usize).cloned().collect())
    }

    async fn list_usage(
        &self,
        book: Book,
        by: UsageBy,
        first: &str,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let inner = self.inner.lock().await;
        let mut rows: Vec<UsageRow> = inner
            .sums
            .iter()
            .filter(|((of, kind, name, _), _)| {
                *of == book
                    && *kind == by
                    && name.as_str() >= first
                    && last.is_none_or(|last| name.as_str() <= last)
            })
            .map(|((_, _, name, service), totals)| UsageRow {
                bucket: name.clone(),
                service: *service,
                totals: *totals,
            })
            .collect();
        rows.sort_by(|a, b| {
            b.bucket
                .cmp(&a.bucket)
                .then(a.service.as_str().cmp(b.service.as_str()))
        });
        rows.truncate(limit as usize);
        Ok(rows)
    }

    async fn set_cap(&self, cap: Cap) -> Result<(), StoreError> {
        self.inner.lock().await.caps.insert((cap.scope, cap.window), cap);
        Ok(())
    }

    async fn remove_cap(&self, scope: CapScope, window: Window) -> Result<bool, StoreError> {
        Ok(self.inner.lock().await.caps.remove(&(scope, window)).is_some())
    }

    async fn list_caps(&self) -> Result<Vec<Cap>, StoreError> {
        Ok(self.inner.lock().await.caps.values().copied().collect())
    }
}

#[async_trait]
impl LedgerTransaction for Change {
    async fn entry(&mut self, key: &str) -> Result<Option<LedgerEntry>, StoreError> {
        Ok(self.copy.entries.get(key).cloned())
    }

    async fn caps(&mut self) -> Result<Vec<Cap>, StoreError> {
        Ok(self.copy.caps.values().copied().collect())
    }

    async fn sums(&mut self, buckets: &Buckets) -> Result<Sums, StoreError> {
        let mut found = Sums::new();
        for by in UsageBy::ALL {
            for service in Service::ALL {
                if let Some(totals) =
                    self.copy
                        .sums
                        .get(&(buckets.book, by, buckets.name(by).to_owned(), service))
                {
                    found.insert((by, service), *totals);
                }
            }
        }
        Ok(found)
    }

    async fn holders(
        &mut self,
        scope: CapScope,
        window: Window,
        buckets: &Buckets,
        limit: u32,
    ) -> Result<Vec<Holder>, StoreError> {
        let by = UsageBy::from(window);
        let mut found: Vec<Holder> = self
            .copy
            .entries
            .values()
            .filter(|entry| entry.state == EntryState::Reserved && scope.covers(entry.service))
            .filter(|entry| entry.book == buckets.book)
            .filter(|entry| Buckets::of(entry).name(by) == buckets.name(by))
            .filter_map(|entry| {
                Some(Holder {
                    key: entry.key.clone(),
                    purpose: entry.purpose.clone(),
                    amount: entry.worst?,
                })
            })
            .collect();
        found.sort_by(|a, b| b.amount.cmp(&a.amount).then(a.key.cmp(&b.key)));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn put(&mut self, entry: &LedgerEntry, sums: &[(UsageBy, Totals); 5]) -> Result<(), StoreError> {
        let buckets = Buckets::of(entry);
        for (by, totals) in sums {
            self.copy.sums.insert(
                (buckets.book, *by, buckets.name(*by).to_owned(), entry.service),
                *totals,
            );
        }
        self.copy.entries.insert(entry.key.clone(), entry.clone());
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let copy = std::mem::take(&mut self.copy);
        *self.guard = copy;
        Ok(())
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_ledger_keeps_the_contract() {
        crate::ledger::contract::ledger_contract(Arc::new(MemoryLedger::default())).await;
    }
}
