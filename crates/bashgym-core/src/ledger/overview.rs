//! What is left, and what was spent.

use jiff::Timestamp;
use serde::Serialize;

use super::books::{Buckets, EntryCursor, EntryFilter, Sums, Totals, UsageBy, UsageRow};
use super::model::utc_day;
use super::rules;
use super::{Cap, CapScope, Ledger, LedgerEntry, LedgerError, MicroUsd, Service, Window};
use crate::run::RunId;
use crate::store::StoreError;

/// A cap and what it has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CapStatus {
    /// The cap.
    #[serde(flatten)]
    pub cap: Cap,
    /// What counts against it now. `None` for a cap of runs as long as no run is named.
    pub used: Option<Totals>,
    /// When it begins anew; `None` if it never does.
    pub resets_at: Option<Timestamp>,
}

impl CapStatus {
    /// What is left; nothing where more was spent than the cap allows.
    pub fn left(&self) -> Option<MicroUsd> {
        let used = self.used?;
        let left = i128::from(self.cap.amount.get())
            - i128::from(used.reserved_micro_usd)
            - i128::from(used.settled_micro_usd);
        Some(rules::amount(left))
    }
}

/// Everything about a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The moment.
    pub at: Timestamp,
    /// Every cap.
    pub caps: Vec<CapStatus>,
    sums: Sums,
}

impl Overview {
    /// What a scope reserved and settled in a window, capped or not. `None` where the sum is beyond all range.
    pub fn used(&self, scope: CapScope, window: Window) -> Option<Totals> {
        let amount = MicroUsd::ZERO;
        rules::used(
            &Cap {
                scope,
                window,
                amount,
            },
            &self.sums,
        )
    }

    /// The cap of a scope that has the least left.
    pub fn tightest(&self, scope: CapScope) -> Option<&CapStatus> {
        self.caps
            .iter()
            .filter(|status| status.cap.scope == scope)
            .min_by_key(|status| (status.left().is_none(), status.left()))
    }
}

impl Ledger {
    /// Sets a cap, or changes it. What is reserved already stays reserved.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn set_cap(&self, cap: Cap) -> Result<(), LedgerError> {
        Ok(self.store.set_cap(cap).await?)
    }

    /// Removes a cap; says whether there was one.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn remove_cap(&self, scope: CapScope, window: Window) -> Result<bool, LedgerError> {
        Ok(self.store.remove_cap(scope, window).await?)
    }

    /// Says what every cap has left now in the book that is open; the caps of runs, for `run`.
    ///
    /// # Errors
    /// [`LedgerError::Store`] or [`LedgerError::TooLarge`].
    pub async fn overview(&self, run: Option<RunId>) -> Result<Overview, LedgerError> {
        let at = self.now();
        let day = utc_day(at);
        let buckets = Buckets {
            book: self.book,
            day: day.to_string(),
            month: day.strftime("%Y-%m").to_string(),
            run: run.map(|run| run.to_string()).unwrap_or_default(),
            purpose: String::new(),
        };
        let mut sums = Sums::new();
        for window in Window::ALL {
            let by = UsageBy::from(window);
            let name = buckets.name(by);
            for row in self
                .store
                .list_usage(self.book, by, name, Some(name), 100)
                .await?
            {
                sums.insert((by, row.service), row.totals);
            }
        }
        let mut caps = Vec::new();
        for cap in self.store.list_caps().await? {
            let used = match cap.window.bucket(day, run) {
                Some(_) => Some(rules::used(&cap, &sums).ok_or(LedgerError::TooLarge)?),
                None => None,
            };
            caps.push(CapStatus {
                cap,
                used,
                resets_at: cap.window.resets_at(at),
            });
        }
        caps.sort_by_key(|status| (status.cap.scope, status.cap.window));
        Ok(Overview { at, caps, sums })
    }

    /// Lists entries, newest first; of both books, unless the filter names one.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    pub async fn entries(
        &self,
        filter: &EntryFilter,
        after: Option<&EntryCursor>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        self.store.list_entries(filter, after, limit).await
    }

    /// Returns the entry of this key.
    ///
    /// # Errors
    /// [`LedgerError::BadText`] or [`LedgerError::Store`].
    pub async fn entry(&self, key: &str) -> Result<Option<LedgerEntry>, LedgerError> {
        rules::check_key(key)?;
        Ok(self.store.find_entry(key).await?)
    }

    /// Lists sums of the book that is open, the last name first: the latest day, the latest run.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    pub async fn usage(
        &self,
        by: UsageBy,
        first: Option<&str>,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError> {
        self.store
            .list_usage(self.book, by, first.unwrap_or_default(), last, limit)
            .await
    }

    /// Adds up a span of days in the book that is open, for each service.
    ///
    /// # Errors
    /// [`LedgerError::Store`] or [`LedgerError::TooLarge`].
    pub async fn usage_by_service(
        &self,
        first_day: &str,
        last_day: &str,
    ) -> Result<Vec<(Service, Totals)>, LedgerError> {
        let rows = self
            .store
            .list_usage(self.book, UsageBy::Day, first_day, Some(last_day), u32::MAX)
            .await?;
        let mut sums = Service::ALL.map(|service| (service, Totals::default()));
        for row in rows {
            if let Some((_, sum)) = sums.iter_mut().find(|(service, _)| *service == row.service) {
                *sum = sum.plus(row.totals).ok_or(LedgerError::TooLarge)?;
            }
        }
        Ok(sums.to_vec())
    }
}
