-- Launches of jobs, one row for each intent.
CREATE TABLE launches (
    intent TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,              -- counts the saves; a save compares and sets it
    finished INTEGER NOT NULL,             -- 1 if nothing is left to do
    record TEXT NOT NULL                   -- JSON
) STRICT;

CREATE INDEX launches_unfinished ON launches (intent) WHERE finished = 0;

-- The right to do something alone, until it runs out.
CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    expires_at_us INTEGER NOT NULL         -- microseconds since 1970, UTC
) STRICT;

-- What jobs wrote, in order.
CREATE TABLE job_lines (
    job_id TEXT NOT NULL,
    stream TEXT NOT NULL,                  -- log, metrics
    seq INTEGER NOT NULL,                  -- counts from 1 in each stream, without a gap
    line TEXT NOT NULL,                    -- one JSON object
    PRIMARY KEY (job_id, stream, seq)
) STRICT, WITHOUT ROWID;
