//! The database's tables; `docs/format.md` explains them.

/// `PRAGMA application_id`: the bytes "DRYS".
pub(crate) const APPLICATION_ID: i64 = 0x4452_5953;

/// `PRAGMA user_version`: the version of the tables.
pub(crate) const USER_VERSION: i64 = 1;

/// Makes every table; runs in one transaction and only once.
pub(crate) const CREATE: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('epoch', 0);

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch      INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    dead       INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE segments (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    bytes  INTEGER NOT NULL DEFAULT 0,
    sealed INTEGER NOT NULL DEFAULT 0,
    adoptions INTEGER NOT NULL DEFAULT 0,
    unsynced  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX segments_unsynced ON segments (id) WHERE unsynced = 1;
CREATE INDEX segments_unsealed ON segments (bytes) WHERE sealed = 0;

CREATE TABLE chunks (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    hash      BLOB NOT NULL UNIQUE,
    segment   INTEGER NOT NULL REFERENCES segments (id),
    offset    INTEGER NOT NULL,
    length    INTEGER NOT NULL,
    condemned INTEGER
);

CREATE TABLE manifests (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER,
    size    INTEGER,
    content BLOB
);
CREATE INDEX manifests_pending ON manifests (session) WHERE session IS NOT NULL;

CREATE TABLE manifest_chunks (
    manifest INTEGER NOT NULL REFERENCES manifests (id),
    offset   INTEGER NOT NULL,
    chunk    INTEGER NOT NULL REFERENCES chunks (id),
    PRIMARY KEY (manifest, offset)
) WITHOUT ROWID;
CREATE INDEX manifest_chunks_chunk ON manifest_chunks (chunk);

CREATE TABLE manifest_parts (
    manifest INTEGER NOT NULL REFERENCES manifests (id),
    offset   INTEGER NOT NULL,
    part     INTEGER NOT NULL REFERENCES manifests (id),
    start    INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    PRIMARY KEY (manifest, offset)
) WITHOUT ROWID;
CREATE INDEX manifest_parts_part ON manifest_parts (part);

CREATE TABLE buckets (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    public     INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE objects (
    bucket      INTEGER NOT NULL REFERENCES buckets (id),
    key         TEXT NOT NULL,
    size        INTEGER NOT NULL,
    content     BLOB NOT NULL,
    media_type  TEXT,
    user_meta   TEXT,
    system_meta TEXT,
    modified_ns INTEGER NOT NULL,
    mode        INTEGER,
    manifest    INTEGER NOT NULL REFERENCES manifests (id),
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE INDEX objects_manifest ON objects (manifest);

-- No reference to the bucket: removing one is one row, and its uploads are unreachable from then on.
CREATE TABLE uploads (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket      INTEGER NOT NULL,
    key         TEXT NOT NULL,
    media_type  TEXT,
    user_meta   TEXT,
    system_meta TEXT,
    modified_ns INTEGER NOT NULL,
    mode        INTEGER,
    created_ms  INTEGER NOT NULL
);
CREATE INDEX uploads_key ON uploads (bucket, key);

CREATE TABLE parts (
    upload      INTEGER NOT NULL REFERENCES uploads (id),
    number      INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    content     BLOB NOT NULL,
    system_meta TEXT,
    modified_ms INTEGER NOT NULL,
    manifest    INTEGER NOT NULL REFERENCES manifests (id),
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE INDEX parts_manifest ON parts (manifest);

CREATE TABLE keys (
    access     TEXT PRIMARY KEY,
    secret     TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE grants (
    access TEXT NOT NULL REFERENCES keys (access),
    bucket TEXT NOT NULL,
    read   INTEGER NOT NULL,
    write  INTEGER NOT NULL,
    list   INTEGER NOT NULL,
    admin  INTEGER NOT NULL,
    PRIMARY KEY (access, bucket)
) WITHOUT ROWID;
";
