-- Jobs, newest last. A stage moves SCHEDULING -> RUNNING -> final; the triggers keep it so and keep its history.
CREATE TABLE jobs (
    -- The order of submission.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 24 hex digits.
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL COLLATE NOCASE,
    stage TEXT NOT NULL,
    -- JSON: the checked submission, with the names of its secrets and never their values.
    spec TEXT NOT NULL,
    -- JSON object of strings.
    labels TEXT NOT NULL,
    -- JSON: owner, createdBy and initiator as the Hub shows them.
    people TEXT NOT NULL,
    message TEXT,
    -- Attempts that failed.
    failure_count INTEGER NOT NULL DEFAULT 0,
    -- 1 once somebody asked for the end of the job.
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    -- Milliseconds since 1970.
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    finished_ms INTEGER,
    -- The process of the running attempt: its pid, and boot and tick it started at, since pids are used again.
    pid INTEGER,
    pid_started TEXT
) STRICT;

CREATE INDEX jobs_by_namespace ON jobs (namespace, seq);
CREATE INDEX jobs_by_stage ON jobs (namespace, stage, seq);
CREATE INDEX jobs_unfinished ON jobs (seq) WHERE stage IN ('SCHEDULING', 'RUNNING');

-- The stages a job went through.
CREATE TABLE job_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    stage TEXT NOT NULL,
    message TEXT,
    -- Milliseconds since 1970.
    at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX job_events_by_job ON job_events (job_id, seq);

CREATE TRIGGER jobs_first_event AFTER INSERT ON jobs BEGIN
    INSERT INTO job_events (job_id, stage, message, at_ms) VALUES (NEW.id, NEW.stage, NEW.message, NEW.created_ms);
END;

CREATE TRIGGER jobs_next_event AFTER UPDATE OF stage ON jobs WHEN NEW.stage <> OLD.stage BEGIN
    INSERT INTO job_events (job_id, stage, message, at_ms)
    VALUES (NEW.id, NEW.stage, NEW.message, coalesce(NEW.finished_ms, NEW.started_ms, NEW.created_ms));
END;

CREATE TRIGGER jobs_final_is_final BEFORE UPDATE OF stage ON jobs
WHEN OLD.stage NOT IN ('SCHEDULING', 'RUNNING') BEGIN
    SELECT RAISE(ABORT, 'a finished job keeps its stage');
END;
