-- Everything that happened, in one sequence; kept for a while. Numbers are in the order of the commits.
CREATE TABLE event_log (
    seq BIGINT PRIMARY KEY,               -- the newest row is never dropped, so that no number is given twice
    time_us BIGINT NOT NULL,              -- microseconds since 1970, UTC
    kind TEXT NOT NULL,                    -- such as hf:job:started
    topic TEXT COLLATE "C" NOT NULL,                  -- such as job:66aa
    data TEXT NOT NULL                     -- JSON; lines of logs are referred to by their numbers
);

-- Long work, one row each.
CREATE TABLE tasks (
    id TEXT COLLATE "C" PRIMARY KEY,                  -- UUID version 7, so that names sort by time
    version BIGINT NOT NULL,              -- counts the saves; a save compares and sets it
    kind TEXT NOT NULL,
    state TEXT NOT NULL,                   -- queued, running, done, failed, canceled
    idempotency_key TEXT,
    holder TEXT,                           -- the process whose worker has it
    held_until_us BIGINT NOT NULL,        -- microseconds since 1970, UTC; 0 when nobody has it
    record TEXT NOT NULL                   -- JSON
);

CREATE UNIQUE INDEX tasks_by_key ON tasks (kind, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_open ON tasks (id) WHERE state IN ('queued', 'running');
