-- Who pays for a job: the name of an account. What it cost, once it is over, in millionths of a US dollar.
ALTER TABLE jobs ADD COLUMN payer TEXT COLLATE NOCASE;
ALTER TABLE jobs ADD COLUMN cost_micro_usd INTEGER;
-- Why the Hub canceled it, like NO_CREDITS.
ALTER TABLE jobs ADD COLUMN cancel_reason TEXT;

-- What each account paid for jobs that are over.
CREATE TABLE job_spend (
    payer TEXT PRIMARY KEY COLLATE NOCASE,
    micro_usd INTEGER NOT NULL
) STRICT;

CREATE TRIGGER jobs_paid AFTER UPDATE OF cost_micro_usd ON jobs
WHEN OLD.cost_micro_usd IS NULL AND NEW.cost_micro_usd IS NOT NULL AND NEW.payer IS NOT NULL BEGIN
    INSERT INTO job_spend (payer, micro_usd) VALUES (NEW.payer, NEW.cost_micro_usd)
    ON CONFLICT (payer) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd;
END;

-- The labels of jobs once more, to find jobs by them.
CREATE TABLE job_labels (
    namespace TEXT NOT NULL COLLATE NOCASE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    seq INTEGER NOT NULL REFERENCES jobs (seq),
    PRIMARY KEY (namespace, key, value, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_labels_by_job ON job_labels (seq);

INSERT INTO job_labels (namespace, key, value, seq)
SELECT j.namespace, label.key, label.value, j.seq FROM jobs AS j, json_each(j.labels) AS label;

CREATE TRIGGER jobs_labeled AFTER INSERT ON jobs BEGIN
    INSERT INTO job_labels (namespace, key, value, seq)
    SELECT NEW.namespace, label.key, label.value, NEW.seq FROM json_each(NEW.labels) AS label;
END;

CREATE TRIGGER jobs_relabeled AFTER UPDATE OF labels ON jobs BEGIN
    DELETE FROM job_labels WHERE seq = NEW.seq;
    INSERT INTO job_labels (namespace, key, value, seq)
    SELECT NEW.namespace, label.key, label.value, NEW.seq FROM json_each(NEW.labels) AS label;
END;

-- Jobs that start by the clock, newest last.
CREATE TABLE scheduled_jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 24 hex digits.
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL COLLATE NOCASE,
    schedule TEXT NOT NULL,
    suspend INTEGER NOT NULL,
    suspend_reason TEXT,
    concurrency INTEGER NOT NULL,
    -- As in `jobs`.
    spec TEXT NOT NULL,
    labels TEXT NOT NULL,
    people TEXT NOT NULL,
    payer TEXT NOT NULL COLLATE NOCASE,
    -- Milliseconds since 1970.
    created_ms INTEGER NOT NULL,
    last_job TEXT,
    last_ms INTEGER,
    next_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX scheduled_by_namespace ON scheduled_jobs (namespace, seq);
CREATE INDEX scheduled_by_time ON scheduled_jobs (next_ms) WHERE suspend = 0;
