-- Launches of jobs, one row for each intent.
CREATE TABLE launches (
    intent TEXT COLLATE "C" PRIMARY KEY,
    version BIGINT NOT NULL,              -- counts the saves; a save compares and sets it
    finished BIGINT NOT NULL,             -- 1 if nothing is left to do
    record TEXT NOT NULL                   -- JSON
);

CREATE INDEX launches_unfinished ON launches (intent) WHERE finished = 0;

-- The right to do something alone, until it runs out.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at_us BIGINT NOT NULL         -- microseconds since 1970, UTC
);

-- What jobs wrote, in order.
CREATE TABLE job_lines (
    job_id TEXT NOT NULL,
    stream TEXT NOT NULL,                  -- log, metrics
    seq BIGINT NOT NULL,                  -- counts from 1 in each stream, without a gap
    line TEXT NOT NULL,                    -- one JSON object
    PRIMARY KEY (job_id, stream, seq)
);
