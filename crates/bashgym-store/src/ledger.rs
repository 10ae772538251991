//! The ledger.

use async_trait::async_trait;
use bashgym_core::events::{NewEvent, facts};
use bashgym_core::ledger::{
    Book, Buckets, Cap, CapScope, EntryCursor, EntryFilter, EntryState, Holder, LedgerEntry, LedgerStore,
    LedgerTransaction, MicroUsd, Sums, Totals, UsageBy, UsageRow, Window,
};
use bashgym_core::store::StoreError;

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Change, Row, args};
use crate::error::backend;

const ENTRIES: &str = "ledger_entries";
const SUMS: &str = "ledger_sums";
const CAPS: &str = "ledger_caps";

const FIND_ENTRY: &str = "SELECT * FROM ledger_entries WHERE key = $1";
const LIST_CAPS: &str = "SELECT scope, stretch, cap_micro_usd FROM ledger_caps ORDER BY scope, stretch";

/// Entries by the index that the given condition can use; what else is asked for is checked on the way.
macro_rules! list_entries {
    ($condition:literal) => {
        concat!(
            "SELECT * FROM ledger_entries WHERE ",
            $condition,
            " AND ($8 IS NULL OR book = $8) AND ($1 IS NULL OR run_id = $1) AND ($2 IS NULL OR purpose = $2) AND ($3 IS NULL OR service = $3)",
            " AND reserved_at_us >= $4 AND reserved_at_us <= $5",
            " AND (reserved_at_us < $5 OR (reserved_at_us = $5 AND key < $6))",
            " ORDER BY reserved_at_us DESC, key DESC LIMIT $7"
        )
    };
}

#[async_trait]
impl LedgerStore for SqlStore {
    async fn begin_ledger(&self) -> Result<Box<dyn LedgerTransaction>, StoreError> {
        let change = self
            .database
            .begin_turn("ledger")
            .await
            .map_err(failed("begin"))?;
        Ok(Box::new(LedgerChange(change, Vec::new())))
    }

    async fn find_entry(&self, key: &str) -> Result<Option<LedgerEntry>, StoreError> {
        self.database
            .fetch_optional(FIND_ENTRY, &args![key])
            .await
            .map_err(failed("read"))?
            .as_ref()
            .map(entry)
            .transpose()
    }

    async fn list_entries(
        &self,
        filter: &EntryFilter,
        after: Option<&EntryCursor>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        let sql = match filter {
            EntryFilter { run: Some(_), .. } => list_entries!("run_id = $1"),
            EntryFilter { purpose: Some(_), .. } => list_entries!("purpose = $2"),
            EntryFilter { service: Some(_), .. } => list_entries!("service = $3"),
            _ => list_entries!("1 = 1"),
        };
        // The page ends before the cursor or before `until`, whichever is earlier; no key is below the empty one.
        let until = filter.until.map_or(i64::MAX, jiff::Timestamp::as_microsecond);
        let (last, key) = match after {
            Some(after) if after.reserved_at.as_microsecond() < until => {
                (after.reserved_at.as_microsecond(), after.key.as_str())
            }
            _ => (until, ""),
        };
        self.database
            .fetch_all(
                sql,
                &args![
                    filter.run.map(|run| run.to_string()),
                    filter.purpose.clone(),
                    filter.service.map(|service| service.as_str().to_owned()),
                    filter.from.map_or(i64::MIN, jiff::Timestamp::as_microsecond),
                    last,
                    key,
                    limit,
                    filter.book.map(|book| book.as_str().to_owned()),
                ],
            )
            .await
            .map_err(failed("list"))?
            .iter()
            .map(entry)
            .collect()
    }

    async fn list_usage(
        &self,
        book: Book,
        by: UsageBy,
        first: &str,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError> {
        self.database
            .fetch_all(
                "SELECT * FROM ledger_sums WHERE book = $5 AND kind = $1 AND bucket >= $2 \
                 AND ($3 IS NULL OR bucket <= $3) ORDER BY bucket DESC, service LIMIT $4",
                &args![by.as_str(), first, last.map(str::to_owned), limit, book.as_str()],
            )
            .await
            .map_err(failed("add up"))?
            .iter()
            .map(|row| {
                let cells = Cells::new(row, SUMS, "bucket");
                Ok(UsageRow {
                    bucket: cells.text("bucket")?,
                    service: cells.parsed("service")?,
                    totals: totals(&cells)?,
                })
            })
            .collect()
    }

    async fn set_cap(&self, cap: Cap) -> Result<(), StoreError> {
        self.database
            .execute(
                "INSERT INTO ledger_caps (scope, stretch, cap_micro_usd) VALUES ($1, $2, $3) \
                 ON CONFLICT (scope, stretch) DO UPDATE SET cap_micro_usd = excluded.cap_micro_usd",
                &args![cap.scope.as_str(), cap.window.as_str(), cap.amount.get()],
            )
            .await
            .map_err(failed("change the caps of"))?;
        Ok(())
    }

    async fn remove_cap(&self, scope: CapScope, window: Window) -> Result<bool, StoreError> {
        let removed = self
            .database
            .execute(
                "DELETE FROM ledger_caps WHERE scope = $1 AND stretch = $2",
                &args![scope.as_str(), window.as_str()],
            )
            .await
            .map_err(failed("change the caps of"))?;
        Ok(removed > 0)
    }

    async fn list_caps(&self) -> Result<Vec<Cap>, StoreError> {
        self.database
            .fetch_all(LIST_CAPS, &[])
            .await
            .map_err(failed("read the caps of"))?
            .iter()
            .map(cap)
            .collect()
    }
}

/// A transaction that has the ledger alone, and the events that follow from what it wrote.
struct LedgerChange(Change, Vec<NewEvent>);

#[async_trait]
impl LedgerTransaction for LedgerChange {
    async fn entry(&mut self, key: &str) -> Result<Option<LedgerEntry>, StoreError> {
        let rows = self
            .0
            .fetch_all(FIND_ENTRY, &args![key])
            .await
            .map_err(failed("read"))?;
        rows.first().map(entry).transpose()
    }

    async fn caps(&mut self) -> Result<Vec<Cap>, StoreError> {
        let rows = self
            .0
            .fetch_all(LIST_CAPS, &[])
            .await
            .map_err(failed("read the caps of"))?;
        rows.iter().map(cap).collect()
    }

    async fn sums(&mut self, buckets: &Buckets) -> Result<Sums, StoreError> {
        let rows = self
            .0
            .fetch_all(
                "SELECT * FROM ledger_sums WHERE book = $5 AND ((kind = 'day' AND bucket = $1) \
                 OR (kind = 'month' AND bucket = $2) OR (kind = 'run' AND bucket = $3) \
                 OR (kind = 'purpose' AND bucket = $4) OR (kind = 'total' AND bucket = ''))",
                &args![
                    buckets.day.as_str(),
                    buckets.month.as_str(),
                    buckets.run.as_str(),
                    buckets.purpose.as_str(),
                    buckets.book.as_str(),
                ],
            )
            .await
            .map_err(failed("add up"))?;
        let mut sums = Sums::new();
        for row in &rows {
            let cells = Cells::new(row, SUMS, "bucket");
            let kind = cells.text("kind")?;
            let by = UsageBy::ALL
                .into_iter()
                .find(|by| by.as_str() == kind)
                .ok_or_else(|| cells.bad("kind", "no such kind"))?;
            sums.insert((by, cells.parsed("service")?), totals(&cells)?);
        }
        Ok(sums)
    }

    async fn holders(
        &mut self,
        scope: CapScope,
        window: Window,
        buckets: &Buckets,
        limit: u32,
    ) -> Result<Vec<Holder>, StoreError> {
        let only = |wanted: Window, name: &str| (wanted == window).then(|| name.to_owned());
        let service = match scope {
            CapScope::One(service) => Some(service.as_str().to_owned()),
            CapScope::All => None,
        };
        let rows = self
            .0
            .fetch_all(
                "SELECT key, purpose, worst_micro_usd FROM ledger_entries \
                 WHERE state = 'reserved' AND worst_micro_usd IS NOT NULL AND ($1 IS NULL OR service = $1) \
                 AND ($2 IS NULL OR day = $2) AND ($3 IS NULL OR substr(day, 1, 7) = $3) \
                 AND ($4 IS NULL OR run_id = $4) AND book = $6 ORDER BY worst_micro_usd DESC, key LIMIT $5",
                &args![
                    service,
                    only(Window::Day, &buckets.day),
                    only(Window::Month, &buckets.month),
                    only(Window::Run, &buckets.run),
                    limit,
                    buckets.book.as_str(),
                ],
            )
            .await
            .map_err(failed("read"))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, ENTRIES, "key");
                Ok(Holder {
                    key: cells.text("key")?,
                    purpose: cells.text("purpose")?,
                    amount: amount(&cells, "worst_micro_usd")?.unwrap_or_default(),
                })
            })
            .collect()
    }

    async fn put(&mut self, entry: &LedgerEntry, sums: &[(UsageBy, Totals); 5]) -> Result<(), StoreError> {
        let (amount, source, reason, closed_at) = match &entry.state {
            EntryState::Reserved => (None, None, None, None),
            EntryState::Settled { amount, source, at } => {
                (*amount, Some(source.as_str().to_owned()), None, Some(*at))
            }
            EntryState::Released { reason, at } => (None, None, Some(reason.clone()), Some(*at)),
        };
        self.0
            .execute(
                "INSERT INTO ledger_entries (key, service, run_id, purpose, worst_micro_usd, reserved_at_us, day, \
                 state, amount_micro_usd, source, reason, closed_at_us, book) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                 ON CONFLICT (key) DO UPDATE SET worst_micro_usd = excluded.worst_micro_usd, \
                 reserved_at_us = excluded.reserved_at_us, day = excluded.day, state = excluded.state, \
                 amount_micro_usd = excluded.amount_micro_usd, source = excluded.source, \
                 reason = excluded.reason, closed_at_us = excluded.closed_at_us",
                &args![
                    entry.key.as_str(),
                    entry.service.as_str(),
                    entry.run.map(|run| run.to_string()),
                    entry.purpose.as_str(),
                    entry.worst.map(micros),
                    entry.reserved_at.as_microsecond(),
                    entry.day().to_string(),
                    entry.state.as_str(),
                    amount.map(micros),
                    source,
                    reason,
                    closed_at.map(jiff::Timestamp::as_microsecond),
                    entry.book.as_str(),
                ],
            )
            .await
            .map_err(failed("write"))?;
        self.1.extend(facts::of_entry(entry));
        let buckets = Buckets::of(entry);
        for (by, totals) in sums {
            self.0
                .execute(
                    "INSERT INTO ledger_sums \
                     (kind, bucket, service, entries, unknown, reserved_micro_usd, settled_micro_usd, book) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                     ON CONFLICT (book, kind, bucket, service) DO UPDATE SET entries = excluded.entries, \
                     unknown = excluded.unknown, reserved_micro_usd = excluded.reserved_micro_usd, \
                     settled_micro_usd = excluded.settled_micro_usd",
                    &args![
                        by.as_str(),
                        buckets.name(*by),
                        entry.service.as_str(),
                        totals.entries,
                        totals.unknown,
                        totals.reserved_micro_usd,
                        totals.settled_micro_usd,
                        entry.book.as_str(),
                    ],
                )
                .await
                .map_err(failed("write"))?;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        // Last, since everybody who writes waits for the log's turn.
        self.0.log(&self.1).await?;
        self.0.commit().await.map_err(failed("write"))
    }
}

fn failed(verb: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| backend(format!("{verb} the ledger"), error)
}

fn micros(amount: MicroUsd) -> i64 {
    // An amount is at most a billion dollars.
    i64::try_from(amount.get()).unwrap_or(i64::MAX)
}

fn amount(cells: &Cells<'_>, column: &'static str) -> Result<Option<MicroUsd>, StoreError> {
    let Some(micros) = cells.optional_integer(column)? else {
        return Ok(None);
    };
    let micros = u64::try_from(micros).map_err(|error| cells.bad(column, error))?;
    MicroUsd::new(micros)
        .map(Some)
        .map_err(|error| cells.bad(column, error))
}

fn totals(cells: &Cells<'_>) -> Result<Totals, StoreError> {
    Ok(Totals {
        entries: cells.integer("entries")?,
        unknown: cells.integer("unknown")?,
        reserved_micro_usd: cells.integer("reserved_micro_usd")?,
        settled_micro_usd: cells.integer("settled_micro_usd")?,
    })
}

fn cap(row: &Row) -> Result<Cap, StoreError> {
    let cells = Cells::new(row, CAPS, "scope");
    Ok(Cap {
        scope: cells.parsed("scope")?,
        window: cells.parsed("stretch")?,
        amount: amount(&cells, "cap_micro_usd")?.unwrap_or_default(),
    })
}

fn entry(row: &Row) -> Result<LedgerEntry, StoreError> {
    let cells = Cells::new(row, ENTRIES, "key");
    let run = match cells.optional_text("run_id")? {
        Some(_) => Some(cells.parsed("run_id")?),
        None => None,
    };
    let state = match cells.text("state")?.as_str() {
        "reserved" => EntryState::Reserved,
        "settled" => EntryState::Settled {
            amount: amount(&cells, "amount_micro_usd")?,
            source: cells.parsed("source")?,
            at: cells.time_us("closed_at_us")?,
        },
        "released" => EntryState::Released {
            reason: cells.text("reason")?,
            at: cells.time_us("closed_at_us")?,
        },
        _ => return Err(cells.bad("state", "no such state")),
    };
    Ok(LedgerEntry {
        key: cells.text("key")?,
        book: cells.parsed("book")?,
        service: cells.parsed("service")?,
        run,
        purpose: cells.text("purpose")?,
        worst: amount(&cells, "worst_micro_usd")?,
        reserved_at: cells.time_us("reserved_at_us")?,
        state,
    })
}
