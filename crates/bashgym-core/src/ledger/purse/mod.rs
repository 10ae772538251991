//! Many small calls out of one reservation.
//!
//! A reservation is a transaction of the store, and so is its settlement; a thousand calls a second would be little else.
//! [`Purse`] reserves for several calls at once, hands each its worst case out of that, and settles all of them together. What is
//! in use is always reserved in the ledger, by caps that are checked there, so that callers at once cannot pass a cap together;
//! a process that is killed leaves at most what it had reserved.
//!
//! While calls are few, each has its own entry in the ledger, as without a purse.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hf_core::MicroUsd;
use jiff::civil::Date;
use uuid::Uuid;

use super::{
    Book, Budget, CostSource, EntryState, Ledger, LedgerEntry, LedgerError, Reservation, ReserveRequest,
    Settlement, utc_day,
};

/// How long one reservation serves calls.
const LASTS: Duration = Duration::from_millis(500);
/// Calls that one reservation is made for, at most.
const MOST_CALLS: u64 = 1024;
/// What one reservation sets aside for calls to come, at most.
const MOST_MICRO_USD: u64 = 1_000_000;

/// A budget for many small calls over a ledger. Cloning shares everything.
#[derive(Clone)]
pub struct Purse {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Ledger,
    state: Mutex<State>,
    /// One reserves at a time, so that those who wait find what it reserved.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    tranches: HashMap<String, Tranche>,
    calls: HashMap<String, Call>,
    /// How many calls come, by purpose: for how many a reservation is made.
    traffic: HashMap<String, Traffic>,
}

/// Calls of a stretch, and of the one before.
#[derive(Default)]
struct Traffic {
    until: Duration,
    calls: u64,
    before: u64,
}

impl Traffic {
    /// Counts a call. How many the stretch is expected to have: what the last one had, if not more already.
    fn count(&mut self, now: Duration) -> u64 {
        if now >= self.until {
            let is_next = now < self.until.saturating_add(LASTS);
            self.before = if is_next { self.calls } else { 0 };
            self.calls = 0;
            self.until = now.saturating_add(LASTS);
        }
        self.calls += 1;
        self.calls.max(self.before)
    }
}

/// A call that is not settled yet.
#[derive(Clone)]
struct Call {
    tranche: String,
    worst: u64,
}

/// A reservation, and what is left of it.
struct Tranche {
    request: ReserveRequest,
    day: Date,
    reserved: u64,
    spent: u64,
    held: u64,
    open: u64,
    /// Whether calls may still be made out of it.
    takes: bool,
    /// Whether anything was settled: without, it is given back.
    is_used: bool,
}

impl Tranche {
    fn has_room(&self, purpose: &str, day: Date, worst: u64) -> bool {
        let left = self.reserved.saturating_sub(self.spent.saturating_add(self.held));
        self.takes && self.day == day && self.request.purpose == purpose && left >= worst
    }
}

impl fmt::Debug for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purse").finish_non_exhaustive()
    }
}

/// The entry of a call as it would stand in the ledger.
fn entry(request: ReserveRequest, book: Book, at: jiff::Timestamp, state: EntryState) -> LedgerEntry {
    LedgerEntry {
        key: request.key,
        book,
        service: request.service,
        run: request.run,
        purpose: request.purpose,
        worst: request.worst,
        reserved_at: at,
        state,
    }
}

impl Purse {
    /// A purse over a ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            inner: Arc::new(Inner {
                ledger,
                state: Mutex::default(),
                opening: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Settles what no call uses. Calls that are on their way settle theirs when they end.
    ///
    /// # Errors
    /// As [`Budget::settle`].
    pub async fn flush(&self) -> Result<(), LedgerError> {
        let keys: Vec<String> = self.lock().tranches.keys().cloned().collect();
        for key in keys {
            self.end(&key).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call's worst case out of what is reserved.
    fn take(&self, request: &ReserveRequest, worst: u64) -> bool {
        let day = utc_day(self.inner.ledger.clock.now());
        let state = &mut *self.lock();
        let found = state
            .tranches
            .iter_mut()
            .find(|(_, tranche)| tranche.has_room(&request.purpose, day, worst));
        let Some((key, tranche)) = found else {
            return false;
        };
        tranche.held += worst;
        tranche.open += 1;
        let call = Call {
            tranche: key.clone(),
            worst,
        };
        state.calls.insert(request.key.clone(), call);
        true
    }

    /// For how many calls to reserve: as many as came in the last stretch.
    fn expected(&self, purpose: &str, worst: u64) -> u64 {
        let now = self.inner.ledger.clock.elapsed();
        let state = &mut *self.lock();
        state
            .traffic
            .retain(|_, traffic| now < traffic.until.saturating_add(LASTS));
        let calls = state.traffic.entry(purpose.to_owned()).or_default().count(now);
        let affordable = MOST_MICRO_USD.checked_div(worst).unwrap_or(MOST_CALLS);
        calls.min(MOST_CALLS).min(affordable).max(1)
    }

    /// Reserves for a number of calls, this one included.
    async fn open(&self, request: &ReserveRequest, worst: u64, calls: u64) -> Result<(), LedgerError> {
        let amount = MicroUsd::new(worst.saturating_mul(calls)).map_err(|_| LedgerError::TooLarge)?;
        let is_alone = calls == 1 && worst > 0;
        let own = ReserveRequest {
            key: if is_alone {
                request.key.clone()
            } else {
                format!("calls-{}", Uuid::now_v7())
            },
            worst: Some(amount),
            ..request.clone()
        };
        let reserved = self.inner.ledger.reserve(own.clone()).await?;
        let call = Call {
            tranche: own.key.clone(),
            worst,
        };
        let key = own.key.clone();
        let tranche = Tranche {
            day: reserved.entry.day(),
            request: own,
            reserved: amount.get(),
            spent: 0,
            held: worst,
            open: 1,
            takes: !is_alone,
            is_used: false,
        };
        {
            let mut state = self.lock();
            state.tranches.insert(key.clone(), tranche);
            state.calls.insert(request.key.clone(), call);
        }
        if !is_alone {
            let purse = self.clone();
            // Without a runtime it is settled by the next flush, or stays reserved.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    purse.inner.ledger.clock.sleep(LASTS).await;
                    if let Err(error) = purse.end(&key).await {
                        tracing::warn!(%error, "what calls cost could not be written down; what was reserved for them stays so");
                    }
                });
            }
        }
        Ok(())
    }

    /// Lets a reservation serve no further call, and settles it once none is on its way.
    async fn end(&self, key: &str) -> Result<(), LedgerError> {
        let over = {
            let mut state = self.lock();
            let Some(tranche) = state.tranches.get_mut(key) else {
                return Ok(());
            };
            tranche.takes = false;
            if tranche.open > 0 {
                return Ok(());
            }
            state.tranches.remove(key)
        };
        let Some(tranche) = over else { return Ok(()) };
        if !tranche.is_used {
            let reason = "no provider took the call";
            return self.inner.ledger.release(key, reason).await.map(drop);
        }
        let settlement = Settlement {
            actual: Some(MicroUsd::new(tranche.spent).map_err(|_| LedgerError::TooLarge)?),
            source: CostSource::ReportedUsage,
        };
        self.inner.ledger.settle(key, settlement).await.map(drop)
    }

    /// A call is over: gives its worst case back and counts what it cost. The entry as it would stand.
    async fn close(
        &self,
        key: &str,
        cost: Option<u64>,
        state: EntryState,
    ) -> Result<LedgerEntry, LedgerError> {
        let (request, tranche, is_over) = {
            let mut held = self.lock();
            let Some(call) = held.calls.remove(key) else {
                return Err(LedgerError::Missing { key: key.to_owned() });
            };
            let Some(tranche) = held.tranches.get_mut(&call.tranche) else {
                return Err(LedgerError::Missing { key: key.to_owned() });
            };
            tranche.held = tranche.held.saturating_sub(call.worst);
            tranche.open = tranche.open.saturating_sub(1);
            if let Some(cost) = cost {
                tranche.spent = tranche.spent.saturating_add(cost);
                tranche.is_used = true;
            }
            let request = ReserveRequest {
                key: key.to_owned(),
                worst: MicroUsd::new(call.worst).ok(),
                ..tranche.request.clone()
            };
            (request, call.tranche, !tranche.takes && tranche.open == 0)
        };
        if is_over {
            self.end(&tranche).await?;
        }
        Ok(entry(
            request,
            self.inner.ledger.book,
            self.inner.ledger.now(),
            state,
        ))
    }

    fn call(&self, key: &str) -> Option<(Call, bool)> {
        let state = self.lock();
        let call = state.calls.get(key)?.clone();
        let is_alone = call.tranche == key;
        Some((call, is_alone))
    }

    /// A call with an entry of its own is the ledger's from here on.
    fn forget(&self, key: &str) {
        let mut state = self.lock();
        state.calls.remove(key);
        state.tranches.remove(key);
    }

    /// A call whose cost nobody knows gets an entry of its own, as one that says so.
    async fn close_unknown(&self, key: &str, worst: u64) -> Result<LedgerEntry, LedgerError> {
        let request = {
            let state = self.lock();
            let tranche = state
                .calls
                .get(key)
                .and_then(|call| state.tranches.get(&call.tranche));
            tranche.map(|tranche| tranche.request.clone())
        };
        let Some(request) = request else {
            return Err(LedgerError::Missing { key: key.to_owned() });
        };
        let own = ReserveRequest {
            key: key.to_owned(),
            worst: MicroUsd::new(worst).ok(),
            ..request
        };
        // It is counted twice until the reservation gives it back, and never not at all.
        self.inner.ledger.book_spent(own).await?;
        let entry = self.inner.ledger.settle(key, Settlement::UNKNOWN).await?;
        self.close(key, None, EntryState::Reserved).await?;
        Ok(entry)
    }
}

#[async_trait]
impl Budget for Purse {
    async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, LedgerError> {
        let (Some(worst), None) = (request.worst.map(MicroUsd::get), request.run) else {
            return self.inner.ledger.reserve(request).await;
        };
        let reservation = |request: ReserveRequest| Reservation {
            entry: entry(
                request,
                self.inner.ledger.book,
                self.inner.ledger.now(),
                EntryState::Reserved,
            ),
            is_new: true,
        };
        let calls = self.expected(&request.purpose, worst);
        if self.take(&request, worst) {
            return Ok(reservation(request));
        }
        let _one = self.inner.opening.lock().await;
        if self.take(&request, worst) {
            return Ok(reservation(request));
        }
        match self.open(&request, worst, calls).await {
            Err(LedgerError::CapExceeded(_)) => {
                // What is set aside for calls to come may be all that is missing.
                self.flush().await?;
                self.open(&request, worst, 1).await?;
            }
            other => other?,
        }
        Ok(reservation(request))
    }

    async fn settle(&self, key: &str, settlement: Settlement) -> Result<LedgerEntry, LedgerError> {
        let Some((call, is_alone)) = self.call(key) else {
            return self.inner.ledger.settle(key, settlement).await;
        };
        if is_alone {
            self.forget(key);
            return self.inner.ledger.settle(key, settlement).await;
        }
        match settlement.actual {
            Some(actual) if settlement.source != CostSource::Unknown => {
                let state = EntryState::Settled {
                    amount: Some(actual),
                    source: settlement.source,
                    at: self.inner.ledger.now(),
                };
                self.close(key, Some(actual.get()), state).await
            }
            _ => self.close_unknown(key, call.worst).await,
        }
    }

    async fn release(&self, key: &str, reason: &str) -> Result<LedgerEntry, LedgerError> {
        let Some((_, is_alone)) = self.call(key) else {
            return self.inner.ledger.release(key, reason).await;
        };
        if is_alone {
            self.forget(key);
            return self.inner.ledger.release(key, reason).await;
        }
        let state = EntryState::Released {
            reason: reason.to_owned(),
            at: self.inner.ledger.now(),
        };
        self.close(key, None, state).await
    }
}
