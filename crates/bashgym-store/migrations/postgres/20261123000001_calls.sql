-- Calls of models, answered or not.
CREATE TABLE calls (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,          -- UUID version 7, so that names sort by time
    at_us BIGINT NOT NULL,                -- when it began: microseconds since 1970, UTC
    model TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C",
    call TEXT NOT NULL                     -- JSON
);

CREATE INDEX calls_by_model ON calls (model, id);
CREATE INDEX calls_by_purpose ON calls (purpose, id);

-- Sums of the calls, written with them, so that a page of usage reads a few rows whatever their number.
CREATE TABLE call_sums (
    kind TEXT COLLATE "C" NOT NULL,                    -- model, provider, day, purpose, total
    bucket TEXT COLLATE "C" NOT NULL,                  -- its name; empty for total
    calls BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    nano_usd BIGINT NOT NULL,             -- billionths of a US dollar, as far as the cost is known
    unknown_cost BIGINT NOT NULL,         -- calls whose cost nobody named
    PRIMARY KEY (kind, bucket)
);
