//! The seam that whoever spends money calls, and the ledger behind it.

use std::sync::Arc;

use async_trait::async_trait;
use hf_core::{Clock, Endpoint};
use jiff::Timestamp;

use super::books::{Buckets, LedgerStore, LedgerTransaction, Totals, UsageBy};
use super::rules::{self, Step};
use super::{Book, LedgerEntry, LedgerError, Reservation, ReserveRequest, Settlement};

/// Sets money aside before it is spent, and says afterwards what became of it.
#[async_trait]
pub trait Budget: Send + Sync {
    /// Sets the worst case aside, unless a cap would be passed.
    ///
    /// The same key again, for the same service, run and purpose, is the same reservation: after a crash it is
    /// asked for again and costs nothing more. A worst case higher than before raises it, if the caps allow that;
    /// a lower one leaves it. An entry that is settled is returned as it is; one that was released is reserved
    /// anew.
    ///
    /// # Errors
    /// [`LedgerError::CapExceeded`], [`LedgerError::UnknownPrice`], [`LedgerError::KeyReused`],
    /// [`LedgerError::BadText`], [`LedgerError::TooLarge`] or [`LedgerError::Store`]. Nothing is reserved then.
    async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, LedgerError>;

    /// Writes down what it cost, even where that is more than was reserved.
    ///
    /// The first known amount stands: a later call changes nothing and returns what stands, except that an unknown
    /// cost becomes known. A cost that turns up after a release is written down all the same.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`LedgerError::BadText`], [`LedgerError::TooLarge`] or [`LedgerError::Store`].
    async fn settle(&self, key: &str, settlement: Settlement) -> Result<LedgerEntry, LedgerError>;

    /// Gives the money back: it is certain that nothing was spent. A second call changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`LedgerError::BadText`], [`LedgerError::AlreadySettled`] or [`LedgerError::Store`].
    async fn release(&self, key: &str, reason: &str) -> Result<LedgerEntry, LedgerError>;
}

/// How many of the reservations that hold a cap are named in a refusal.
const HOLDERS_SHOWN: u32 = 3;

/// The ledger: rules over a store.
#[derive(Clone)]
pub struct Ledger {
    pub(super) store: Arc<dyn LedgerStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) book: Book,
}

impl Ledger {
    /// A ledger kept in `store`, with the days of `clock`, open at the book of accounts.
    pub fn new(store: Arc<dyn LedgerStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            book: Book::Account,
        }
    }

    /// The same ledger, open at a book: what is reserved goes there, and what is left and was spent is told of it.
    #[must_use]
    pub fn in_book(&self, book: Book) -> Self {
        Self { book, ..self.clone() }
    }

    /// The same ledger, open at the book of a Hub.
    #[must_use]
    pub fn at(&self, endpoint: &Endpoint) -> Self {
        self.in_book(Book::at(endpoint))
    }

    /// The book it is open at.
    pub fn book(&self) -> Book {
        self.book
    }

    /// The time, as fine as stores keep it.
    pub(super) fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

#[async_trait]
impl Budget for Ledger {
    async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, LedgerError> {
        self.set_aside(request, true).await
    }

    async fn settle(&self, key: &str, settlement: Settlement) -> Result<LedgerEntry, LedgerError> {
        let now = self.now();
        self.change(key, |entry| Ok(rules::settle(entry, settlement, now)))
            .await
    }

    async fn release(&self, key: &str, reason: &str) -> Result<LedgerEntry, LedgerError> {
        let now = self.now();
        self.change(key, |entry| rules::release(entry, reason, now)).await
    }
}

impl Ledger {
    /// Sets aside what is being spent already, by a run that a schedule started for example. No cap is asked: refusing would only
    /// hide it. Otherwise as [`Budget::reserve`].
    ///
    /// # Errors
    /// [`LedgerError::KeyReused`], [`LedgerError::UnknownPrice`], [`LedgerError::BadText`], [`LedgerError::TooLarge`] or
    /// [`LedgerError::Store`].
    pub async fn book_spent(&self, request: ReserveRequest) -> Result<Reservation, LedgerError> {
        self.set_aside(request, false).await
    }

    async fn set_aside(
        &self,
        request: ReserveRequest,
        within_caps: bool,
    ) -> Result<Reservation, LedgerError> {
        rules::check_names(&request)?;
        let mut change = self.store.begin_ledger().await?;
        // Read after the turn was taken: whoever waited past midnight counts in the new day.
        let now = self.now();
        let existing = change.entry(&request.key).await?;
        let old = existing.as_ref().map(Totals::of).unwrap_or_default();
        let entry = match rules::reserve(&request, self.book, existing, now)? {
            Step::Stands(entry) => return Ok(Reservation { entry, is_new: false }),
            Step::Write(entry) => entry,
        };
        let buckets = Buckets::of(&entry);
        let caps = if within_caps {
            change.caps().await?
        } else {
            Vec::new()
        };
        let sums = change.sums(&buckets).await?;
        match rules::check_caps(&entry, old, &caps, &sums, now) {
            Ok(()) => {}
            Err(LedgerError::CapExceeded(mut refusal)) => {
                let cap = refusal.cap;
                refusal.holders = change
                    .holders(cap.scope, cap.window, &buckets, HOLDERS_SHOWN)
                    .await?;
                return Err(LedgerError::CapExceeded(refusal));
            }
            Err(error) => return Err(error),
        }
        write(change, &entry, old, &sums).await?;
        Ok(Reservation { entry, is_new: true })
    }

    async fn change(
        &self,
        key: &str,
        rule: impl FnOnce(LedgerEntry) -> Result<Step, LedgerError> + Send,
    ) -> Result<LedgerEntry, LedgerError> {
        rules::check_key(key)?;
        let mut change = self.store.begin_ledger().await?;
        let Some(existing) = change.entry(key).await? else {
            return Err(LedgerError::Missing { key: key.to_owned() });
        };
        let old = Totals::of(&existing);
        match rule(existing)? {
            Step::Stands(entry) => Ok(entry),
            Step::Write(entry) => {
                let sums = change.sums(&Buckets::of(&entry)).await?;
                write(change, &entry, old, &sums).await?;
                Ok(entry)
            }
        }
    }
}

/// Writes an entry and its sums, and makes both last.
async fn write(
    mut change: Box<dyn LedgerTransaction>,
    entry: &LedgerEntry,
    old: Totals,
    sums: &super::books::Sums,
) -> Result<(), LedgerError> {
    let new = Totals::of(entry);
    let mut written = UsageBy::ALL.map(|by| (by, Totals::default()));
    for (by, totals) in &mut written {
        let before = sums.get(&(*by, entry.service)).copied().unwrap_or_default();
        *totals = before.replace(old, new).ok_or(LedgerError::TooLarge)?;
    }
    change.put(entry, &written).await?;
    change.commit().await?;
    Ok(())
}
