//! What the ledger adds up, and the traits of the store it is kept in.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::{Book, Cap, CapScope, EntryState, Holder, LedgerEntry, MicroUsd, Service, Window};
use crate::run::RunId;
use crate::store::StoreError;

/// What sums are kept by. Each sum is written together with the entry that changes it, so that reading one costs the
/// same whatever the number of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageBy {
    /// A day of UTC, as `2026-11-22`.
    Day,
    /// A month of UTC, as `2026-11`.
    Month,
    /// A run's id; empty for what belongs to no run.
    Run,
    /// A purpose.
    Purpose,
    /// One sum over everything, named by the empty text.
    Total,
}

impl UsageBy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Day, Self::Month, Self::Run, Self::Purpose, Self::Total];

    /// The word in JSON and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Run => "run",
            Self::Purpose => "purpose",
            Self::Total => "total",
        }
    }
}

impl From<Window> for UsageBy {
    fn from(window: Window) -> Self {
        match window {
            Window::Day => Self::Day,
            Window::Month => Self::Month,
            Window::Run => Self::Run,
            Window::Total => Self::Total,
        }
    }
}

/// The names of the sums that an entry counts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// The book they are in.
    pub book: Book,
    /// `2026-11-22`
    pub day: String,
    /// `2026-11`
    pub month: String,
    /// The run's id, or nothing.
    pub run: String,
    /// The purpose.
    pub purpose: String,
}

impl Buckets {
    /// The sums that an entry counts in.
    pub fn of(entry: &LedgerEntry) -> Self {
        let day = entry.day();
        Self {
            book: entry.book,
            day: day.to_string(),
            month: day.strftime("%Y-%m").to_string(),
            run: entry.run.map(|run| run.to_string()).unwrap_or_default(),
            purpose: entry.purpose.clone(),
        }
    }

    /// The name of the sum of one kind.
    pub fn name(&self, by: UsageBy) -> &str {
        match by {
            UsageBy::Day => &self.day,
            UsageBy::Month => &self.month,
            UsageBy::Run => &self.run,
            UsageBy::Purpose => &self.purpose,
            UsageBy::Total => "",
        }
    }
}

/// Sums of one service. Amounts are millionths of a US dollar; a sum may be beyond [`MicroUsd::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Entries that were not released.
    pub entries: i64,
    /// Of these, entries whose cost nobody knows. They add nothing to the amounts.
    pub unknown: i64,
    /// Reserved and not yet settled.
    pub reserved_micro_usd: i64,
    /// Settled.
    pub settled_micro_usd: i64,
}

impl Totals {
    /// What an entry adds to the sums it counts in.
    pub fn of(entry: &LedgerEntry) -> Self {
        let micros = |amount: MicroUsd| i64::try_from(amount.get()).unwrap_or(i64::MAX);
        let (reserved, settled, known) = match &entry.state {
            EntryState::Reserved => (entry.worst, None, entry.worst.is_some()),
            EntryState::Settled { amount, .. } => (None, *amount, amount.is_some()),
            EntryState::Released { .. } => return Self::default(),
        };
        Self {
            entries: 1,
            unknown: i64::from(!known),
            reserved_micro_usd: reserved.map_or(0, micros),
            settled_micro_usd: settled.map_or(0, micros),
        }
    }

    /// The sums with `new` in the place of `old`; `None` where they leave the range of a signed 64-bit integer.
    #[must_use]
    pub fn replace(self, old: Self, new: Self) -> Option<Self> {
        let one = |sum: i64, old: i64, new: i64| sum.checked_sub(old)?.checked_add(new);
        Some(Self {
            entries: one(self.entries, old.entries, new.entries)?,
            unknown: one(self.unknown, old.unknown, new.unknown)?,
            reserved_micro_usd: one(
                self.reserved_micro_usd,
                old.reserved_micro_usd,
                new.reserved_micro_usd,
            )?,
            settled_micro_usd: one(
                self.settled_micro_usd,
                old.settled_micro_usd,
                new.settled_micro_usd,
            )?,
        })
    }

    /// Both sums together; `None` where they leave the range of a signed 64-bit integer.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.replace(Self::default(), other)
    }
}

/// The sums that a transaction has read, by kind and service.
pub type Sums = BTreeMap<(UsageBy, Service), Totals>;

/// Which entries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Only this book.
    pub book: Option<Book>,
    /// Only this service.
    pub service: Option<Service>,
    /// Only this run.
    pub run: Option<RunId>,
    /// Only this purpose.
    pub purpose: Option<String>,
    /// Only what was reserved at this time or later.
    pub from: Option<Timestamp>,
    /// Only what was reserved before this time.
    pub until: Option<Timestamp>,
}

/// The place in a list after which the next page begins: the last entry of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryCursor {
    /// When that entry was reserved.
    pub reserved_at: Timestamp,
    /// Its key.
    pub key: String,
}

/// One sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageRow {
    /// The day, month, run or purpose.
    pub bucket: String,
    /// The service.
    pub service: Service,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Keeps the ledger. What may be written is decided by [`super::Ledger`]; a store only keeps it.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// Begins a change. Until it is committed or dropped, every other change, by any process, waits.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn begin_ledger(&self) -> Result<Box<dyn LedgerTransaction>, StoreError>;

    /// Returns the entry of this key.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_entry(&self, key: &str) -> Result<Option<LedgerEntry>, StoreError>;

    /// Lists entries, newest first, those after the cursor if it is given. Times are kept to the microsecond.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_entries(
        &self,
        filter: &EntryFilter,
        after: Option<&EntryCursor>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError>;

    /// Lists sums of one kind in a book whose names lie from `first` to `last`, both included, the last name first.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_usage(
        &self,
        book: Book,
        by: UsageBy,
        first: &str,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError>;

    /// Sets a cap, or changes it.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn set_cap(&self, cap: Cap) -> Result<(), StoreError>;

    /// Removes a cap; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn remove_cap(&self, scope: CapScope, window: Window) -> Result<bool, StoreError>;

    /// Lists the caps.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_caps(&self) -> Result<Vec<Cap>, StoreError>;
}

/// A change of the ledger; dropped without [`LedgerTransaction::commit`], it leaves nothing behind.
#[async_trait]
pub trait LedgerTransaction: Send {
    /// Returns the entry of this key.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn entry(&mut self, key: &str) -> Result<Option<LedgerEntry>, StoreError>;

    /// Returns the caps.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn caps(&mut self) -> Result<Vec<Cap>, StoreError>;

    /// Returns the sums of these names, of all services; what is not there is zero.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn sums(&mut self, buckets: &Buckets) -> Result<Sums, StoreError>;

    /// Returns the largest open reservations with a known amount in a sum, the largest first.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn holders(
        &mut self,
        scope: CapScope,
        window: Window,
        buckets: &Buckets,
        limit: u32,
    ) -> Result<Vec<Holder>, StoreError>;

    /// Writes an entry in place of the one of its key, and the sums of its service.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn put(&mut self, entry: &LedgerEntry, sums: &[(UsageBy, Totals); 5]) -> Result<(), StoreError>;

    /// Makes the change last.
    ///
    /// # Errors
    /// [`StoreError::Backend`]; the change may then have been made or not.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
