-- Buckets: files without a history. Their bytes are in Xet storage.
CREATE TABLE buckets (
    seq INTEGER PRIMARY KEY,
    -- 24 hex digits.
    id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    private INTEGER NOT NULL,
    -- Milliseconds since 1970.
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    UNIQUE (namespace, name)
) STRICT;

CREATE TABLE bucket_files (
    bucket INTEGER NOT NULL REFERENCES buckets (seq) ON DELETE CASCADE,
    path TEXT NOT NULL,
    xet_hash TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    uploaded_ms INTEGER NOT NULL,
    content_type TEXT,
    PRIMARY KEY (bucket, path)
) STRICT, WITHOUT ROWID;
