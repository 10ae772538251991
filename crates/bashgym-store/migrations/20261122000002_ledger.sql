-- What money was set aside for, and what became of it. Amounts are whole millionths of a US dollar.
CREATE TABLE ledger_entries (
    key TEXT PRIMARY KEY NOT NULL,         -- the intent's own name
    service TEXT NOT NULL,                 -- jobs, inference, spaces
    run_id TEXT,                           -- the run it is for, if any
    purpose TEXT NOT NULL,
    worst_micro_usd INTEGER CHECK (worst_micro_usd >= 0),     -- null: the price was not known
    reserved_at_us INTEGER NOT NULL,       -- microseconds since 1970, UTC
    day TEXT NOT NULL,                     -- the day of UTC it counts in, as 2026-11-22
    state TEXT NOT NULL,                   -- reserved, settled, released
    amount_micro_usd INTEGER CHECK (amount_micro_usd >= 0),   -- if settled: what it cost; null: nobody knows
    source TEXT,                           -- if settled: where the amount comes from
    reason TEXT,                           -- if released: why
    closed_at_us INTEGER                   -- when it was settled or released
) STRICT;

CREATE INDEX ledger_entries_by_time ON ledger_entries (reserved_at_us, key);
CREATE INDEX ledger_entries_by_service ON ledger_entries (service, reserved_at_us, key);
CREATE INDEX ledger_entries_by_purpose ON ledger_entries (purpose, reserved_at_us, key);
CREATE INDEX ledger_entries_by_run ON ledger_entries (run_id, reserved_at_us, key) WHERE run_id IS NOT NULL;
CREATE INDEX ledger_entries_open ON ledger_entries (worst_micro_usd DESC, key) WHERE state = 'reserved';

-- Sums of the entries, written with them, so that a cap or a page of usage reads a few rows whatever their number.
CREATE TABLE ledger_sums (
    kind TEXT NOT NULL,                    -- day, month, run, purpose, total
    bucket TEXT NOT NULL,                  -- the name of the day, month, run or purpose; empty for total
    service TEXT NOT NULL,
    entries INTEGER NOT NULL CHECK (entries >= 0),            -- not released
    unknown INTEGER NOT NULL CHECK (unknown >= 0),            -- of these, without any amount
    reserved_micro_usd INTEGER NOT NULL CHECK (reserved_micro_usd >= 0),
    settled_micro_usd INTEGER NOT NULL CHECK (settled_micro_usd >= 0),
    PRIMARY KEY (kind, bucket, service)
) STRICT, WITHOUT ROWID;

-- The most that may be reserved and settled together.
CREATE TABLE ledger_caps (
    scope TEXT NOT NULL,                   -- a service, or all
    stretch TEXT NOT NULL,                 -- day, month, run, total
    cap_micro_usd INTEGER NOT NULL CHECK (cap_micro_usd >= 0),
    PRIMARY KEY (scope, stretch)
) STRICT, WITHOUT ROWID;
