-- Whose money it is: what an account is charged, or what a Hub of this machine says it would cost, which nobody pays.
ALTER TABLE ledger_entries ADD COLUMN book TEXT NOT NULL DEFAULT 'account';    -- account, simulated

-- Each book is added up for itself.
ALTER TABLE ledger_sums RENAME TO ledger_sums_before;
CREATE TABLE ledger_sums (
    book TEXT NOT NULL,                    -- account, simulated
    kind TEXT NOT NULL,                    -- day, month, run, purpose, total
    bucket TEXT NOT NULL,                  -- the name of the day, month, run or purpose; empty for total
    service TEXT NOT NULL,
    entries INTEGER NOT NULL CHECK (entries >= 0),            -- not released
    unknown INTEGER NOT NULL CHECK (unknown >= 0),            -- of these, without any amount
    reserved_micro_usd INTEGER NOT NULL CHECK (reserved_micro_usd >= 0),
    settled_micro_usd INTEGER NOT NULL CHECK (settled_micro_usd >= 0),
    PRIMARY KEY (book, kind, bucket, service)
) STRICT, WITHOUT ROWID;
INSERT INTO ledger_sums (book, kind, bucket, service, entries, unknown, reserved_micro_usd, settled_micro_usd)
    SELECT 'account', kind, bucket, service, entries, unknown, reserved_micro_usd, settled_micro_usd FROM ledger_sums_before;
DROP TABLE ledger_sums_before;
