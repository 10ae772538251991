-- How a Space is set up; made together with its repo.
CREATE TABLE spaces (
    repo INTEGER PRIMARY KEY REFERENCES repos (id) ON DELETE CASCADE,
    -- What was asked for; null for static Spaces.
    hardware TEXT,
    -- Seconds; -1 is never, null is the hardware's own.
    sleep_s INTEGER,
    dev_mode INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0,
    -- When it was last built or started again, in milliseconds since 1970.
    started_ms INTEGER NOT NULL
) STRICT;

-- Names of secrets, and variables. Values of secrets are not kept: nothing here runs that could read them.
CREATE TABLE space_settings (
    repo INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,                    -- secret, variable
    key TEXT NOT NULL,
    value TEXT,                            -- null for secrets
    description TEXT,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (repo, kind, key)
) STRICT, WITHOUT ROWID;
