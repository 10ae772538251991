//! What a backup carries: every table, column by column.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Text,
    Integer,
}

/// A table, and the SQL that copies it.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Holds)],
    pub(crate) select: &'static str,
    pub(crate) insert: &'static str,
    pub(crate) delete: &'static str,
    pub(crate) count: &'static str,
}

macro_rules! holds {
    (text) => {
        Holds::Text
    };
    (integer) => {
        Holds::Integer
    };
}

macro_rules! table {
    ($name:literal, $values:literal, $first:literal $first_holds:ident $(, $column:literal $column_holds:ident)*) => {
        Table {
            name: $name,
            columns: &[($first, holds!($first_holds)) $(, ($column, holds!($column_holds)))*],
            select: concat!("SELECT ", $first $(, ", ", $column)*, " FROM ", $name),
            insert: concat!("INSERT INTO ", $name, " (", $first $(, ", ", $column)*, ") VALUES (", $values, ")"),
            delete: concat!("DELETE FROM ", $name),
            count: concat!("SELECT COUNT(*) AS n FROM ", $name),
        }
    };
}

/// What is copied. Leases are not among it: they are of processes that live now. Nor are events: they are told anew.
#[rustfmt::skip]
pub(crate) const TABLES: &[Table] = &[
    table!("runs", "$1, $2, $3, $4, $5, $6, $7",
        "id" text, "version" integer, "created_at" text, "updated_at" text, "spec" text, "state_name" text, "state" text),
    table!("run_events", "$1, $2, $3", "run_id" text, "seq" integer, "event" text),
    table!("ledger_entries", "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13",
        "key" text, "service" text, "run_id" text, "purpose" text, "worst_micro_usd" integer, "reserved_at_us" integer,
        "day" text, "state" text, "amount_micro_usd" integer, "source" text, "reason" text, "closed_at_us" integer, "book" text),
    table!("ledger_sums", "$1, $2, $3, $4, $5, $6, $7, $8",
        "kind" text, "bucket" text, "service" text, "entries" integer, "unknown" integer,
        "reserved_micro_usd" integer, "settled_micro_usd" integer, "book" text),
    table!("ledger_caps", "$1, $2, $3", "scope" text, "stretch" text, "cap_micro_usd" integer),
    table!("launches", "$1, $2, $3, $4", "intent" text, "version" integer, "finished" integer, "record" text),
    table!("job_lines", "$1, $2, $3, $4", "job_id" text, "stream" text, "seq" integer, "line" text),
    table!("tasks", "$1, $2, $3, $4, $5, $6, $7, $8",
        "id" text, "version" integer, "kind" text, "state" text, "idempotency_key" text, "holder" text,
        "held_until_us" integer, "record" text),
    table!("calls", "$1, $2, $3, $4, $5",
        "id" text, "at_us" integer, "model" text, "purpose" text, "call" text),
    table!("call_sums", "$1, $2, $3, $4, $5, $6, $7, $8",
        "kind" text, "bucket" text, "calls" integer, "failed" integer, "prompt_tokens" integer,
        "completion_tokens" integer, "nano_usd" integer, "unknown_cost" integer),
    table!("route_decisions", "$1, $2, $3, $4, $5",
        "id" text, "at_us" integer, "judged" integer, "record" text, "exchange" text),
    table!("route_notes", "$1, $2", "name" text, "note" text),
];

/// The tables that stay as they are. What was seen of jobs can be asked of the Hub again.
#[cfg(test)]
pub(crate) const NOT_COPIED: &[&str] = &[
    "leases",
    "event_log",
    "seen_jobs",
    "job_looks",
    "_sqlx_migrations",
];
