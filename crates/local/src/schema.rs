//! The database's tables, version by version; `docs/format.md` explains them.
//!
//! A step that has been released is never changed: stores have taken it. The tables of today are
//! what all steps make together.
//!
//! A process of an earlier version may have the store open while a step is taken, and goes on with
//! the statements that it knows. So that it does no harm, a step only adds what such a process may
//! leave out: tables, and columns that may be null. From version 2 on a process notices at its next
//! transaction that the store was moved on, and writes no more.

/// `PRAGMA application_id`: the bytes "DRYS".
pub(crate) const APPLICATION_ID: i64 = 0x4452_5953;

/// `PRAGMA user_version`: how many steps the tables have taken.
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// Each makes the tables of its version from those of the version before; the first one makes them
/// from nothing.
pub(crate) const STEPS: [&str; 4] = [FIRST, PARTS_AND_REGIONS, CHUNKS_OF_SEGMENTS, COLLECT];

/// For each version but the last: what stands in for what its tables lack, where they cannot be
/// changed. Only for the connection that runs it, which may not write either.
pub(crate) const STAND_INS: [&[&str]; STEPS.len() - 1] = [
    &[
        "CREATE TEMP VIEW buckets AS
             SELECT id, name, created_ms, public, NULL AS region, NULL AS lifecycle
             FROM main.buckets;
         CREATE TEMP TABLE object_parts (manifest, upload, number, offset, size, system_meta);",
        WITHOUT_COLLECT,
    ],
    &[WITHOUT_LIFECYCLE, WITHOUT_COLLECT],
    &[WITHOUT_LIFECYCLE, WITHOUT_COLLECT],
];

const WITHOUT_LIFECYCLE: &str = "
CREATE TEMP VIEW buckets AS
    SELECT id, name, created_ms, public, region, NULL AS lifecycle FROM main.buckets;
";

const WITHOUT_COLLECT: &str = "
CREATE TEMP VIEW manifests AS
    SELECT id, session, size, content, NULL AS condemned FROM main.manifests;
CREATE TEMP VIEW chunks AS
    SELECT id, hash, segment, offset, length, condemned, NULL AS damaged FROM main.chunks;
CREATE TEMP VIEW segments AS
    SELECT s.id, s.bytes, s.sealed, s.adoptions, s.unsynced, NULL AS condemned,
        (SELECT coalesce(sum(c.length), 0) FROM main.chunks c WHERE c.segment = s.id) AS live,
        NULL AS verified_ms, NULL AS verified_to
    FROM main.segments s;
CREATE TEMP TABLE pins (session, manifest);
";

/// What collect, scrub and expiry need.
///
/// What has lost its last reference is condemned by the transaction that takes the reference away,
/// with the epoch as that transaction reads it. So a collect finds its work in the partial indices.
/// Until `scanned` is 1, what was left by earlier versions is looked for first: not in a new store.
///
/// `live` is kept by triggers: no statement that moves chunks can forget it.
const COLLECT: &str = "
INSERT INTO meta SELECT 'scanned',
    NOT EXISTS (SELECT 1 FROM manifests) AND NOT EXISTS (SELECT 1 FROM chunks);

ALTER TABLE manifests ADD COLUMN condemned INTEGER;
CREATE INDEX manifests_condemned ON manifests (condemned) WHERE condemned IS NOT NULL;
CREATE INDEX chunks_condemned ON chunks (condemned) WHERE condemned IS NOT NULL;

-- Manifests that are being read, for as long as the session lives.
CREATE TABLE pins (
    session  INTEGER NOT NULL,
    manifest INTEGER NOT NULL,
    PRIMARY KEY (session, manifest)
) WITHOUT ROWID;
CREATE INDEX pins_manifest ON pins (manifest);
-- So every pin is one of a live session, whatever ends a session.
CREATE TRIGGER sessions_ended AFTER DELETE ON sessions BEGIN
    DELETE FROM pins WHERE session = OLD.id;
END;
CREATE TRIGGER sessions_died AFTER UPDATE OF dead ON sessions WHEN NEW.dead = 1 BEGIN
    DELETE FROM pins WHERE session = OLD.id;
END;

ALTER TABLE chunks ADD COLUMN damaged INTEGER;
CREATE INDEX chunks_damaged ON chunks (damaged) WHERE damaged IS NOT NULL;

ALTER TABLE segments ADD COLUMN condemned INTEGER;
ALTER TABLE segments ADD COLUMN live INTEGER NOT NULL DEFAULT 0;
UPDATE segments SET live = (SELECT coalesce(sum(length), 0) FROM chunks WHERE segment = segments.id);
CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
    UPDATE segments SET live = live + NEW.length WHERE id = NEW.segment;
END;
CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
    UPDATE segments SET live = live - OLD.length WHERE id = OLD.segment;
END;
CREATE TRIGGER chunks_moved AFTER UPDATE OF segment ON chunks BEGIN
    UPDATE segments SET live = live - OLD.length WHERE id = OLD.segment;
    UPDATE segments SET live = live + NEW.length WHERE id = NEW.segment;
END;

ALTER TABLE buckets ADD COLUMN lifecycle TEXT;

-- A scrub reads chunks in the order of their bytes, and so does whoever rewrites a segment.
DROP INDEX chunks_segment;
CREATE INDEX chunks_segment ON chunks (segment, offset);
ALTER TABLE segments ADD COLUMN verified_ms INTEGER;
ALTER TABLE segments ADD COLUMN verified_to INTEGER;
CREATE TABLE scrubs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    began_ms   INTEGER NOT NULL,
    since_ms   INTEGER,
    last_chunk INTEGER NOT NULL,
    segment    INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    chunk      INTEGER NOT NULL,
    is_over    INTEGER NOT NULL,
    chunks     INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    bad        INTEGER NOT NULL,
    well_again INTEGER NOT NULL
);
";

/// What a collector looks up before it rewrites or removes a segment.
const CHUNKS_OF_SEGMENTS: &str = "CREATE INDEX chunks_segment ON chunks (segment);";

/// Where a bucket is said to be, and what an object was put together from.
const PARTS_AND_REGIONS: &str = "
ALTER TABLE buckets ADD COLUMN region TEXT;

-- No reference to the upload: it has ended. The rows go with their manifest.
CREATE TABLE object_parts (
    manifest    INTEGER NOT NULL REFERENCES manifests (id),
    upload      INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    system_meta TEXT,
    PRIMARY KEY (manifest, upload, number)
) WITHOUT ROWID;
";

const FIRST: &str = "
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
