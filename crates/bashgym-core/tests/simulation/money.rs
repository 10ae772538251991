//! A ledger with one cap, in memory. It keeps the promises of the seam, so that the launch can be judged by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bashgym_core::ledger::{
    Book, Budget, Cap, CapExceeded, CapScope, EntryState, LedgerEntry, LedgerError, MicroUsd, Reservation,
    ReserveRequest, Service, Settlement, Window,
};
use hf_core::Clock;

use super::world::{SimClock, turn};

#[derive(Clone)]
pub(crate) struct SimBudget {
    clock: SimClock,
    cap: u64,
    pub(crate) entries: Arc<Mutex<BTreeMap<String, LedgerEntry>>>,
}

impl SimBudget {
    pub(crate) fn new(clock: &SimClock, cap: u64) -> Self {
        Self {
            clock: clock.clone(),
            cap,
            entries: Arc::default(),
        }
    }

    /// What an entry holds of the cap.
    fn held(entry: &LedgerEntry) -> u64 {
        match &entry.state {
            EntryState::Reserved => entry.worst.unwrap_or_default().get(),
            EntryState::Settled { amount, .. } => amount.unwrap_or_default().get(),
            EntryState::Released { .. } => 0,
        }
    }

    pub(crate) fn held_in_all(&self) -> u64 {
        self.entries.lock().unwrap().values().map(Self::held).sum()
    }
}

#[async_trait]
impl Budget for SimBudget {
    async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, LedgerError> {
        turn().await;
        let reservation = {
            let mut entries = self.entries.lock().unwrap();
            let there = entries.get(&request.key);
            if let Some(there) = there.filter(|there| !matches!(there.state, EntryState::Released { .. })) {
                Ok(Reservation {
                    entry: there.clone(),
                    is_new: false,
                })
            } else {
                let held: u64 = entries.values().map(Self::held).sum();
                let worst = request.worst.unwrap();
                if held + worst.get() > self.cap {
                    Err(LedgerError::CapExceeded(Box::new(CapExceeded {
                        cap: Cap {
                            scope: CapScope::One(Service::Jobs),
                            window: Window::Total,
                            amount: MicroUsd::new(self.cap).unwrap(),
                        },
                        run: None,
                        asked: Some(worst),
                        reserved: MicroUsd::new(held).unwrap(),
                        settled: MicroUsd::ZERO,
                        resets_at: None,
                        holders: Vec::new(),
                    })))
                } else {
                    let entry = LedgerEntry {
                        book: Book::Account,
                        key: request.key.clone(),
                        service: request.service,
                        run: request.run,
                        purpose: request.purpose,
                        worst: request.worst,
                        reserved_at: self.clock.now(),
                        state: EntryState::Reserved,
                    };
                    entries.insert(request.key, entry.clone());
                    Ok(Reservation { entry, is_new: true })
                }
            }
        };
        turn().await;
        reservation
    }

    async fn settle(&self, key: &str, settlement: Settlement) -> Result<LedgerEntry, LedgerError> {
        turn().await;
        let settled = {
            let mut entries = self.entries.lock().unwrap();
            let entry = entries
                .get_mut(key)
                .ok_or_else(|| LedgerError::Missing { key: key.to_owned() })?;
            if !matches!(entry.state, EntryState::Settled { .. }) {
                entry.state = EntryState::Settled {
                    amount: settlement.actual.or(entry.worst),
                    source: settlement.source,
                    at: self.clock.now(),
                };
            }
            entry.clone()
        };
        turn().await;
        Ok(settled)
    }

    async fn release(&self, key: &str, reason: &str) -> Result<LedgerEntry, LedgerError> {
        turn().await;
        let released = {
            let mut entries = self.entries.lock().unwrap();
            let entry = entries
                .get_mut(key)
                .ok_or_else(|| LedgerError::Missing { key: key.to_owned() })?;
            if matches!(entry.state, EntryState::Settled { .. }) {
                return Err(LedgerError::AlreadySettled { key: key.to_owned() });
            }
            entry.state = EntryState::Released {
                reason: reason.to_owned(),
                at: self.clock.now(),
            };
            entry.clone()
        };
        turn().await;
        Ok(released)
    }
}
