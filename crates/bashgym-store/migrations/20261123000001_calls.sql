-- Calls of models, answered or not.
CREATE TABLE calls (
    id TEXT PRIMARY KEY NOT NULL,          -- UUID version 7, so that names sort by time
    at_us INTEGER NOT NULL,                -- when it began: microseconds since 1970, UTC
    model TEXT NOT NULL,
    purpose TEXT,
    call TEXT NOT NULL                     -- JSON
) STRICT;

CREATE INDEX calls_by_model ON calls (model, id);
CREATE INDEX calls_by_purpose ON calls (purpose, id);

-- Sums of the calls, written with them, so that a page of usage reads a few rows whatever their number.
CREATE TABLE call_sums (
    kind TEXT NOT NULL,                    -- model, provider, day, purpose, total
    bucket TEXT NOT NULL,                  -- its name; empty for total
    calls INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL,             -- billionths of a US dollar, as far as the cost is known
    unknown_cost INTEGER NOT NULL,         -- calls whose cost nobody named
    PRIMARY KEY (kind, bucket)
) STRICT, WITHOUT ROWID;
