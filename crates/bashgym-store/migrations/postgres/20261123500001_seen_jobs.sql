-- Jobs as the Hub was seen to tell them. All of it can be asked of the Hub again.
CREATE TABLE seen_jobs (
    hub TEXT NOT NULL,
    namespace TEXT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    created_at_us BIGINT NOT NULL,        -- microseconds since 1970, UTC; 0 where the Hub does not tell
    stage TEXT NOT NULL,                   -- the Hub's word
    is_over BIGINT NOT NULL,              -- 1 if it has ended
    labels TEXT NOT NULL,                  -- each "key=value" as a JSON text, one after the other
    job TEXT NOT NULL,                     -- JSON
    seen_at_us BIGINT NOT NULL,           -- microseconds since 1970, UTC
    PRIMARY KEY (hub, namespace, id)
);

CREATE INDEX seen_jobs_newest ON seen_jobs (hub, namespace, created_at_us, id);
CREATE INDEX seen_jobs_open ON seen_jobs (hub, namespace, created_at_us, id) WHERE is_over = 0;

-- How far the Hub's list of a namespace was read.
CREATE TABLE job_looks (
    hub TEXT NOT NULL,
    namespace TEXT NOT NULL,
    look TEXT NOT NULL,                    -- JSON
    PRIMARY KEY (hub, namespace)
);
