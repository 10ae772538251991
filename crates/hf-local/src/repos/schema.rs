//! The tables of repos and git objects.

use crate::state::db::Migration;

/// Changes of the schema.
pub(crate) const MIGRATIONS: &[Migration] = &[REPOS, LARGE_BLOBS];

const LARGE_BLOBS: Migration = (
    "repos-2",
    "CREATE INDEX blobs_lfs_oid ON blobs (lfs_oid) WHERE lfs_oid IS NOT NULL;",
);

const REPOS: Migration = (
    "repos-1",
    "
-- Facts about the Hub itself.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE repos (
    id INTEGER PRIMARY KEY,
    oid TEXT NOT NULL UNIQUE,              -- 24 hex digits, what clients see as _id
    kind TEXT NOT NULL,                    -- model, dataset, space
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    visibility TEXT NOT NULL,              -- public, private, protected
    sdk TEXT,                              -- of a Space
    gated TEXT NOT NULL DEFAULT 'false',   -- false, auto, manual
    settings TEXT NOT NULL DEFAULT '{}',   -- other settings, as last sent
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX repos_path ON repos (kind, namespace, name);

-- Where a repo was before it was moved.
CREATE TABLE moved_repos (
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    repo INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, namespace, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX moved_repos_repo ON moved_repos (repo);

CREATE TABLE refs (
    repo INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    name TEXT NOT NULL,                    -- refs/heads/main
    commit_oid TEXT NOT NULL,
    message TEXT,                          -- of an annotated tag
    PRIMARY KEY (repo, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE commits (
    repo INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    oid TEXT NOT NULL,                     -- sha1 of the git commit object
    tree TEXT NOT NULL,
    parent TEXT,
    depth INTEGER NOT NULL,                -- commits up to and with this one
    author TEXT NOT NULL,
    title TEXT NOT NULL,
    message TEXT NOT NULL,                 -- what follows the title
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (repo, oid)
) STRICT, WITHOUT ROWID;

-- Git tree objects, as git writes them.
CREATE TABLE trees (oid TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Git blobs. A pointer to a large file carries what it points to; a body that is null is a file below blobs/.
CREATE TABLE blobs (
    oid TEXT PRIMARY KEY,
    size INTEGER NOT NULL,                 -- bytes of the blob itself
    body BLOB,
    lfs_oid TEXT,                          -- sha256
    lfs_size INTEGER
) STRICT;

-- Which blobs the history of a repo holds: storage used, and what may be dropped.
CREATE TABLE repo_blobs (
    repo INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    PRIMARY KEY (repo, oid)
) STRICT, WITHOUT ROWID;
CREATE INDEX repo_blobs_oid ON repo_blobs (oid);
",
);
