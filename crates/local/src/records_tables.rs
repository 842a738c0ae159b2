//! The tables as the rules of the records see and change them, in one transaction.

use std::collections::BTreeMap;
use std::ops::Range;

use drystone_store::rules::{Tables, scrub};
use drystone_store::{
    BucketName, ChunkMove, ChunkRef, Composite, ContentHash, Entry, Epoch, Key, ManifestId,
    NamedPart, ObjectRow, PartRow, PartTarget, PlainSlice, Result, SegmentLen, SessionId, Source,
    StoreError, SweepFrom, SyncPolicy, UploadId, UploadRow,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::connection::{Halt, is_wrong_value};
use crate::database::{int, uint};
use crate::{records_collect, records_manifest, records_read, records_scrub, records_uploads};

/// What a transaction works on, and what it has looked up already.
pub(crate) struct SqlTables<'a> {
    db: &'a Connection,
    sessions: BTreeMap<SessionId, bool>,
    buckets: BTreeMap<BucketName, Option<i64>>,
}

impl<'a> SqlTables<'a> {
    pub(crate) fn of(db: &'a Connection) -> Self {
        Self { db, sessions: BTreeMap::new(), buckets: BTreeMap::new() }
    }

    pub(crate) fn db(&self) -> &'a Connection {
        self.db
    }

    /// Notes how long segments are. A length never goes back: two groups can note the same segment.
    pub(crate) fn note(&self, segments: &[SegmentLen], sync: SyncPolicy) -> rusqlite::Result<()> {
        let unsynced = sync == SyncPolicy::Never;
        for len in segments {
            self.db
                .prepare_cached(
                    "UPDATE segments SET bytes = max(bytes, ?2), sealed = max(sealed, ?3),
                         unsynced = max(unsynced, ?4)
                     WHERE id = ?1",
                )?
                .execute(params![int(len.segment.0), int(len.bytes), len.sealed, unsynced])?;
        }
        Ok(())
    }

    /// The manifest of an entry, which has got what it needs to be committed if it completes.
    fn manifest(&self, entry: &Entry) -> rusqlite::Result<i64> {
        let pending = entry.complete.is_none().then_some(int(entry.session.0));
        let size = entry.complete.as_ref().map(|complete| int(complete.size));
        let content = entry.complete.as_ref().map(|complete| &complete.content.0[..]);
        let Some(manifest) = entry.manifest else {
            let sql = "INSERT INTO manifests (session, size, content) VALUES (?1, ?2, ?3)";
            self.db.prepare_cached(sql)?.execute(params![pending, size, content])?;
            return Ok(self.db.last_insert_rowid());
        };
        if pending.is_none() {
            let sql = "UPDATE manifests SET session = NULL, size = ?2, content = ?3 WHERE id = ?1";
            self.db.prepare_cached(sql)?.execute(params![int(manifest.0), size, content])?;
        }
        Ok(int(manifest.0))
    }
}

impl Tables for SqlTables<'_> {
    type Halt = Halt;
    type Bucket = i64;

    fn is_alive(&mut self, session: SessionId) -> Result<bool, Halt> {
        if let Some(alive) = self.sessions.get(&session) {
            return Ok(*alive);
        }
        let mut statement =
            self.db.prepare_cached("SELECT dead = 0 FROM sessions WHERE id = ?1")?;
        let alive = statement.query_row([int(session.0)], |row| row.get(0)).optional()?;
        let alive = alive.unwrap_or(false);
        self.sessions.insert(session, alive);
        Ok(alive)
    }

    fn has_chunk(&mut self, chunk: ChunkRef) -> Result<bool, Halt> {
        let mut statement = self.db.prepare_cached("SELECT 1 FROM chunks WHERE id = ?1")?;
        Ok(statement.exists([int(chunk.0)])?)
    }

    fn bucket(&mut self, name: &BucketName) -> Result<Option<i64>, Halt> {
        if let Some(bucket) = self.buckets.get(name) {
            return Ok(*bucket);
        }
        let bucket = records_read::bucket(self.db, name)?;
        self.buckets.insert(name.clone(), bucket);
        Ok(bucket)
    }

    fn has_objects(&mut self, bucket: &i64) -> Result<bool, Halt> {
        let sql = "SELECT 1 FROM objects WHERE bucket = ?1 LIMIT 1";
        Ok(self.db.prepare_cached(sql)?.exists([bucket])?)
    }

    fn object(&mut self, bucket: &i64, key: &Key) -> Result<Option<ObjectRow>, Halt> {
        Ok(records_read::object(self.db, *bucket, key)?)
    }

    fn has_upload(&mut self, upload: UploadId) -> Result<bool, Halt> {
        Ok(records_uploads::bucket_of(self.db, upload)?.is_some())
    }

    fn upload(&mut self, upload: UploadId) -> Result<Option<(i64, UploadRow)>, Halt> {
        let bucket = records_uploads::bucket_of(self.db, upload)?;
        Ok(bucket.zip(records_uploads::upload(self.db, upload)?))
    }

    fn part(&mut self, upload: UploadId, number: u32) -> Result<Option<PartRow>, Halt> {
        Ok(records_uploads::part(self.db, upload, number)?)
    }

    fn slices(
        &mut self,
        manifest: ManifestId,
        range: &Range<u64>,
        each: &mut dyn FnMut(u64, PlainSlice) -> Result<()>,
    ) -> Result<bool, Halt> {
        records_manifest::slices(self.db, manifest, range, each)
    }

    fn add_to_manifest(&mut self, entry: &Entry) -> Result<ManifestId, Halt> {
        let manifest = self.manifest(entry)?;
        let mut add = self.db.prepare_cached(
            "INSERT INTO manifest_chunks (manifest, offset, chunk) VALUES (?1, ?2, ?3)",
        )?;
        for chunk in &entry.chunks {
            let row = match chunk.source {
                Source::Known(row) => int(row.0),
                Source::Written(at) => {
                    // Another upload may have committed the same chunk meanwhile. Then its row
                    // stays, and the bytes that were written here are garbage.
                    let mut insert = self.db.prepare_cached(
                        "INSERT INTO chunks (hash, segment, offset, length) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (hash) DO UPDATE SET condemned = NULL
                         RETURNING id, damaged IS NOT NULL, segment, offset",
                    )?;
                    let (segment, offset) = (int(at.segment.0), int(at.offset));
                    let values = params![&chunk.id.0[..], segment, offset, at.len];
                    let (row, damaged, there) = insert.query_row(values, |row| {
                        Ok((row.get(0)?, row.get(1)?, (row.get(2)?, row.get(3)?)))
                    })?;
                    if scrub::heals(damaged, there == (segment, offset)) {
                        records_scrub::heal(self.db, row, at)?;
                    }
                    row
                }
            };
            add.execute(params![manifest, int(chunk.offset), row])?;
        }
        Ok(ManifestId(uint(manifest)?))
    }

    fn advance_session(&mut self, session: SessionId) -> Result<(), Halt> {
        let sql = "UPDATE sessions SET epoch = (SELECT value FROM meta WHERE name = 'epoch')
                   WHERE id = ?1";
        self.db.prepare_cached(sql)?.execute([int(session.0)])?;
        Ok(())
    }

    fn put_object(&mut self, bucket: &i64, row: &ObjectRow) -> Result<(), Halt> {
        let mut statement = self.db.prepare_cached(
            "INSERT INTO objects (bucket, key, size, content, media_type, user_meta, system_meta,
                 modified_ns, mode, manifest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (bucket, key) DO UPDATE SET size = excluded.size,
                 content = excluded.content, media_type = excluded.media_type,
                 user_meta = excluded.user_meta, system_meta = excluded.system_meta,
                 modified_ns = excluded.modified_ns, mode = excluded.mode,
                 manifest = excluded.manifest",
        )?;
        statement.execute(params![
            bucket,
            row.key.as_str(),
            int(row.size),
            &row.content.0[..],
            row.meta.media_type,
            json(&row.meta.user)?,
            json(&row.meta.system)?,
            row.meta.modified_ns,
            row.meta.mode,
            int(row.manifest.0)
        ])?;
        Ok(())
    }

    fn remove_object(&mut self, bucket: &i64, key: &Key) -> Result<Option<ManifestId>, Halt> {
        let sql = "DELETE FROM objects WHERE bucket = ?1 AND key = ?2 RETURNING manifest";
        let values = params![bucket, key.as_str()];
        let mut statement = self.db.prepare_cached(sql)?;
        let removed =
            statement.query_row(values, |row| uint(row.get(0)?).map(ManifestId)).optional()?;
        Ok(removed)
    }

    fn manifest_of(&mut self, bucket: &i64, key: &Key) -> Result<Option<ManifestId>, Halt> {
        let sql = "SELECT manifest FROM objects WHERE bucket = ?1 AND key = ?2";
        let values = params![bucket, key.as_str()];
        let mut statement = self.db.prepare_cached(sql)?;
        let found =
            statement.query_row(values, |row| uint(row.get(0)?).map(ManifestId)).optional()?;
        Ok(found)
    }

    fn put_part(
        &mut self,
        target: &PartTarget,
        size: u64,
        content: ContentHash,
        manifest: ManifestId,
    ) -> Result<PartRow, Halt> {
        Ok(records_uploads::put_part(self.db, target, size, content, manifest)?)
    }

    fn put_composite(&mut self, composite: &Composite) -> Result<ManifestId, Halt> {
        Ok(records_manifest::write(self.db, composite)?)
    }

    fn remember_parts(
        &mut self,
        manifest: ManifestId,
        upload: UploadId,
        parts: &[NamedPart],
    ) -> Result<(), Halt> {
        Ok(records_manifest::remember_parts(self.db, manifest, upload, parts)?)
    }

    fn remove_upload(&mut self, upload: UploadId) -> Result<Vec<ManifestId>, Halt> {
        Ok(records_uploads::remove(self.db, upload)?)
    }

    fn epoch(&mut self) -> Result<Epoch, Halt> {
        Ok(records_collect::epoch(self.db)?)
    }

    fn is_manifest_named(&mut self, manifest: ManifestId) -> Result<bool, Halt> {
        Ok(records_collect::is_manifest_named(self.db, manifest)?)
    }

    fn is_manifest_pinned(&mut self, manifest: ManifestId) -> Result<bool, Halt> {
        Ok(records_collect::is_pinned(self.db, manifest)?)
    }

    fn is_chunk_named(&mut self, chunk: ChunkRef) -> Result<bool, Halt> {
        Ok(records_collect::is_chunk_named(self.db, chunk)?)
    }

    fn stamp_manifest(&mut self, manifest: ManifestId, stamp: Option<Epoch>) -> Result<(), Halt> {
        Ok(records_collect::stamp_manifest(self.db, manifest, stamp)?)
    }

    fn stamp_chunk(&mut self, chunk: ChunkRef, stamp: Option<Epoch>) -> Result<bool, Halt> {
        Ok(records_collect::stamp_chunk(self.db, chunk, stamp)?)
    }

    fn condemned_manifests(
        &mut self,
        upto: Epoch,
        after: SweepFrom,
        limit: usize,
    ) -> Result<Vec<SweepFrom>, Halt> {
        Ok(records_collect::condemned_manifests(self.db, upto, after, limit)?)
    }

    fn condemned_chunks(
        &mut self,
        upto: Epoch,
        after: SweepFrom,
        limit: usize,
    ) -> Result<Vec<SweepFrom>, Halt> {
        Ok(records_collect::condemned_chunks(self.db, upto, after, limit)?)
    }

    fn manifests_after(
        &mut self,
        after: ManifestId,
        limit: usize,
    ) -> Result<Vec<ManifestId>, Halt> {
        Ok(records_collect::manifests_after(self.db, after, limit)?)
    }

    fn chunks_after(&mut self, after: ChunkRef, limit: usize) -> Result<Vec<ChunkRef>, Halt> {
        Ok(records_collect::chunks_after(self.db, after, limit)?)
    }

    fn left_pending(&mut self, limit: usize) -> Result<Vec<ManifestId>, Halt> {
        Ok(records_collect::left_pending(self.db, limit)?)
    }

    fn upload_without_bucket(&mut self) -> Result<Option<UploadId>, Halt> {
        Ok(records_collect::upload_without_bucket(self.db)?)
    }

    fn pending(
        &mut self,
        session: SessionId,
        wanted: Option<ManifestId>,
    ) -> Result<Option<ManifestId>, Halt> {
        Ok(records_collect::pending(self.db, session, wanted)?)
    }

    fn take_rows(&mut self, manifest: ManifestId, limit: usize) -> Result<Vec<ChunkRef>, Halt> {
        Ok(records_collect::take_rows(self.db, manifest, limit)?)
    }

    fn take_slices(&mut self, manifest: ManifestId, limit: usize) -> Result<Vec<ManifestId>, Halt> {
        Ok(records_collect::take_slices(self.db, manifest, limit)?)
    }

    fn remove_manifest(&mut self, manifest: ManifestId) -> Result<(), Halt> {
        Ok(records_collect::remove_manifest(self.db, manifest)?)
    }

    fn remove_chunk(&mut self, chunk: ChunkRef) -> Result<u32, Halt> {
        Ok(records_collect::remove_chunk(self.db, chunk)?)
    }

    fn move_chunk(&mut self, moved: &ChunkMove) -> Result<bool, Halt> {
        Ok(records_collect::move_chunk(self.db, moved)?)
    }

    fn is_unreadable(halt: &Halt) -> bool {
        match halt {
            Halt::Refused(error) => matches!(error, StoreError::Inconsistent(_)),
            Halt::Failed(error) => is_wrong_value(error),
        }
    }
}

/// Names and values as a JSON object; nothing when there are none.
pub(crate) fn json(map: &BTreeMap<String, String>) -> rusqlite::Result<Option<String>> {
    let text = (!map.is_empty()).then(|| serde_json::to_string(map)).transpose();
    text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
