-- Runs, one row each. `spec` and `state` are the JSON of the core types; an unfinished run is found by its `spec`.
-- Names compare byte by byte, whatever the language of the database.
CREATE TABLE runs (
    id TEXT COLLATE "C" PRIMARY KEY,       -- UUID version 7, so that names sort by time
    version BIGINT NOT NULL,               -- counts the saves; a save compares and sets it
    created_at TEXT NOT NULL,              -- RFC 3339, UTC
    updated_at TEXT NOT NULL,              -- RFC 3339, UTC
    spec TEXT NOT NULL,                    -- one line of JSON, compared as a whole
    state_name TEXT NOT NULL,              -- the state's word, for lists
    state TEXT NOT NULL                    -- JSON
);

-- A specification can be longer than an index entry may be; its hash is not.
CREATE INDEX runs_by_spec ON runs USING hash (spec);

-- What runs told, in order.
CREATE TABLE run_events (
    run_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,                   -- counts from 1 in each run, without a gap
    event TEXT NOT NULL,                   -- JSON
    PRIMARY KEY (run_id, seq)
);
