//! The log of everything that happened.

use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::events::{Event, EventLog, EventWatch, LogBounds, NewEvent, Retention, Topics};
use bashgym_core::store::StoreError;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Change, Pool, args};
use crate::error::{backend, bad_data};

const TABLE: &str = "event_log";
/// On PostgreSQL, commits with events are told here.
const CHANNEL: &str = "bashgym_events";
/// How long another process's event in the same file may go unseen.
const FILE_POLL: Duration = Duration::from_millis(100);
/// How long an event may go unseen whose notice was lost, as when the connection for notices broke.
const SERVER_POLL: Duration = Duration::from_secs(5);

/// How far the numbers of a log that begins anew are above all that were seen: events that were appended after the backup
/// had numbers too.
const RESTART_GAP: u64 = 1_000_000;

/// Each for itself: SQLite finds one of them by the index, but both together only by reading every row.
const BOUNDS: &str = "SELECT (SELECT COALESCE(MIN(seq), 0) FROM event_log) AS oldest, \
     (SELECT COALESCE(MAX(seq), 0) FROM event_log) AS newest";

impl Change {
    /// Appends events to the log within the transaction, and returns their numbers. Nothing else may take a turn after.
    pub(crate) async fn log(&mut self, events: &[NewEvent]) -> Result<Vec<u64>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error: sqlx::Error| backend("append to the log of events", error);
        // Numbers are given in the order of the commits: a reader never finds a lower one appear later.
        self.take_turn("event log").await.map_err(failed)?;
        let row = self.fetch_all(BOUNDS, &[]).await.map_err(failed)?.pop();
        let last = row.map_or(Ok(0), |row| Cells::new(&row, TABLE, "newest").count("newest"))?;
        let rows: Result<Vec<[String; 3]>, _> = events
            .iter()
            .map(|event| {
                let data = serde_json::to_string(&event.data)?;
                Ok([event.kind.clone(), event.topic.clone(), data])
            })
            .collect();
        // All events travel as one parameter.
        let all = rows
            .and_then(|rows| serde_json::to_string(&rows))
            .map_err(|error| bad_data(TABLE, "data", "to append", error))?;
        let sql = self.pick(
            "INSERT INTO event_log (seq, time_us, kind, topic, data) \
             SELECT $1 + key + 1, $2, json_extract(value, '$[0]'), json_extract(value, '$[1]'), \
             json_extract(value, '$[2]') FROM json_each($3)",
            "INSERT INTO event_log (seq, time_us, kind, topic, data) \
             SELECT CAST($1 AS BIGINT) + n, CAST($2 AS BIGINT), value->>0, value->>1, value->>2 \
             FROM json_array_elements(CAST($3 AS json)) WITH ORDINALITY AS e(value, n)",
        );
        let now = self.clock.now().as_microsecond();
        self.execute(sql, &args![last, now, all]).await.map_err(failed)?;
        if let Some(notify) = Some(self.pick("", "SELECT pg_notify($1, '')")).filter(|sql| !sql.is_empty()) {
            self.fetch_all(notify, &args![CHANNEL]).await.map_err(failed)?;
        }
        let seqs: Vec<u64> = (last + 1..).take(events.len()).collect();
        self.appended = last + events.len() as u64;
        Ok(seqs)
    }
}

impl Change {
    /// Empties the log within the transaction; its numbers go on above those that were given here and above `newest`, so
    /// that whoever saw one of them finds that the log has begun anew.
    pub(crate) async fn restart_log(&mut self, newest: u64) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| backend("begin the log of events anew", error);
        self.take_turn("event log").await.map_err(failed)?;
        let row = self.fetch_all(BOUNDS, &[]).await.map_err(failed)?.pop();
        let last = row.map_or(Ok(0), |row| Cells::new(&row, TABLE, "newest").count("newest"))?;
        self.execute("DELETE FROM event_log", &[]).await.map_err(failed)?;
        let first = last.max(newest) + RESTART_GAP;
        let now = self.clock.now().as_microsecond();
        self.execute(
            "INSERT INTO event_log (seq, time_us, kind, topic, data) VALUES ($1, $2, 'store:restarted', 'store', '{}')",
            &args![first, now],
        )
        .await
        .map_err(failed)?;
        self.appended = first;
        Ok(())
    }
}

/// The statements that read a part of the log: all of it, and some topics of it in SQLite and in PostgreSQL.
macro_rules! select {
    ($part:literal, $order:literal) => {
        [
            concat!(
                "SELECT seq, time_us, kind, topic, data FROM event_log WHERE ",
                $part,
                " ORDER BY ",
                $order,
                " LIMIT $2"
            ),
            concat!(
                "SELECT seq, time_us, kind, topic, data FROM event_log WHERE ",
                $part,
                " AND (topic IN (SELECT value FROM json_each($3)) OR EXISTS (SELECT 1 FROM json_each($4) AS p ",
                "WHERE substr(topic, 1, length(p.value)) = p.value)) ORDER BY ",
                $order,
                " LIMIT $2"
            ),
            concat!(
                "SELECT seq, time_us, kind, topic, data FROM event_log WHERE ",
                $part,
                " AND (topic IN (SELECT value FROM json_array_elements_text(CAST($3 AS json)) AS e(value)) ",
                "OR EXISTS (SELECT 1 FROM json_array_elements_text(CAST($4 AS json)) AS p(value) ",
                "WHERE substr(topic, 1, length(p.value)) = p.value)) ORDER BY ",
                $order,
                " LIMIT $2"
            ),
        ]
    };
}

impl SqlStore {
    /// Reads a part of the log.
    async fn page(
        &self,
        [all, sqlite, postgres]: [&'static str; 3],
        from: u64,
        topics: &Topics,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = if topics.is_all() {
            self.database.fetch_all(all, &args![from, limit]).await
        } else {
            let sql = self.database.pick(sqlite, postgres);
            let texts = |texts: &[String]| {
                serde_json::to_string(texts).map_err(|error| bad_data(TABLE, "topic", "to find", error))
            };
            let (exact, prefixes) = (texts(topics.exact())?, texts(topics.prefixes())?);
            self.database
                .fetch_all(sql, &args![from, limit, exact, prefixes])
                .await
        };
        rows.map_err(|error| backend("read the log of events", error))?
            .iter()
            .map(|row| {
                let seq = Cells::new(row, TABLE, "seq").count("seq")?;
                let cells = Cells::new(row, TABLE, &seq.to_string());
                Ok(Event {
                    seq,
                    time: cells.time_us("time_us")?,
                    kind: cells.text("kind")?,
                    topic: cells.text("topic")?,
                    data: cells.json("data")?,
                })
            })
            .collect()
    }
}

#[async_trait]
impl EventLog for SqlStore {
    async fn append(&self, events: &[NewEvent]) -> Result<Vec<u64>, StoreError> {
        let failed = |error: sqlx::Error| backend("append to the log of events", error);
        let mut change = self.database.begin().await.map_err(failed)?;
        let seqs = change.log(events).await?;
        change.commit().await.map_err(failed)?;
        Ok(seqs)
    }

    async fn list(&self, after: u64, topics: &Topics, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.page(select!("seq > $1", "seq"), after, topics, limit).await
    }

    async fn list_back(&self, before: u64, topics: &Topics, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.page(select!("seq < $1", "seq DESC"), before, topics, limit)
            .await
    }

    async fn bounds(&self) -> Result<LogBounds, StoreError> {
        let row = self
            .database
            .fetch_optional(BOUNDS, &[])
            .await
            .map_err(|error| backend("read the log of events", error))?;
        let Some(row) = row else {
            return Ok(LogBounds::default());
        };
        let cells = Cells::new(&row, TABLE, "bounds");
        Ok(LogBounds {
            oldest: cells.count("oldest")?,
            newest: cells.count("newest")?,
        })
    }

    async fn prune(&self, keep: &Retention) -> Result<u64, StoreError> {
        let newest = self.bounds().await?.newest;
        let (surely, if_old) = keep.limits(newest);
        let horizon = keep.horizon(self.database.clock.now()).as_microsecond();
        self.database
            .execute(
                "DELETE FROM event_log WHERE seq <= $1 OR (seq <= $2 AND time_us < $3)",
                &args![surely, if_old, horizon],
            )
            .await
            .map_err(|error| backend("drop old events", error))
    }

    async fn watch(&self) -> Result<Box<dyn EventWatch>, StoreError> {
        let failed = |error: sqlx::Error| backend("listen for events", error);
        let listener = match &self.database.pool {
            Pool::Sqlite(_) => None,
            Pool::Postgres(pool) => {
                let mut listener = PgListener::connect_with(pool).await.map_err(failed)?;
                listener.listen(CHANNEL).await.map_err(failed)?;
                Some(listener)
            }
        };
        Ok(Box::new(Watch {
            ours: self.database.newest.subscribe(),
            store: self.clone(),
            listener,
        }))
    }
}

struct Watch {
    store: SqlStore,
    ours: watch::Receiver<u64>,
    listener: Option<PgListener>,
}

#[async_trait]
impl EventWatch for Watch {
    async fn wait_after(&mut self, after: u64) -> Result<(), StoreError> {
        loop {
            if *self.ours.borrow_and_update() > after || self.store.bounds().await?.newest > after {
                return Ok(());
            }
            tokio::select! {
                _ = self.ours.changed() => {}
                () = heard(self.listener.as_mut()) => {}
            }
        }
    }
}

/// Returns when it is worth looking whether another process appended something.
async fn heard(listener: Option<&mut PgListener>) {
    match listener {
        None => tokio::time::sleep(FILE_POLL).await,
        Some(listener) => {
            // A broken connection is made anew by the next call; what was told meanwhile is found by the poll.
            if let Ok(Err(_)) = tokio::time::timeout(SERVER_POLL, listener.recv()).await {
                tokio::time::sleep(FILE_POLL).await;
            }
        }
    }
}
