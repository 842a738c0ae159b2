//! The role of a collect: each method is one transaction.

use drystone_store::rules;
use drystone_store::{
    ChunkMove, ChunkRef, CollectRecords, CondemnedTotals, Epoch, Epochs, Result, ScanFrom,
    SegmentId, SegmentLen, SegmentRow, SessionId, StoredChunk, SweepFrom, Swept,
};

use crate::connection::Halt;
use crate::database::{SqliteRecords, uint};
use crate::records_collect;
use crate::records_tables::SqlTables;

impl CollectRecords for SqliteRecords {
    fn advance_epoch(&self) -> Result<Epoch> {
        self.write_on_a_full_disk("cannot end an epoch", |tx| {
            let sql = "UPDATE meta SET value = value + 1 WHERE name = 'epoch' RETURNING value - 1";
            tx.query_row(sql, [], |row| uint(row.get(0)?).map(Epoch))
        })
    }

    fn epochs(&self) -> Result<Epochs> {
        self.read("cannot look for live sessions", records_collect::epochs)
    }

    fn condemn_left(&self, limit: usize) -> Result<bool> {
        self.write_on_a_full_disk("cannot condemn what sessions have left", |tx| {
            rules::condemn_left(&mut SqlTables::of(tx), limit)
        })
    }

    fn condemn_unreferenced(&self, from: ScanFrom, limit: usize) -> Result<Option<ScanFrom>> {
        self.write_on_a_full_disk("cannot condemn what nothing names", |tx| {
            rules::condemn_unreferenced(&mut SqlTables::of(tx), from, limit)
        })
    }

    fn is_scanned(&self) -> Result<bool> {
        self.read("cannot look for what nothing names", records_collect::is_scanned)
    }

    fn note_scanned(&self) -> Result<()> {
        self.write_on_a_full_disk("cannot note that all rows were looked at", |tx| {
            tx.execute("UPDATE meta SET value = 1 WHERE name = 'scanned'", []).map(drop)
        })
    }

    fn condemned(&self) -> Result<CondemnedTotals> {
        self.read("cannot count what is condemned", records_collect::condemned)
    }

    fn sweep_manifests(&self, upto: Epoch, after: SweepFrom, limit: usize) -> Result<Swept> {
        self.write_on_a_full_disk("cannot sweep manifests", |tx| {
            rules::sweep_manifests(&mut SqlTables::of(tx), upto, after, limit)
        })
    }

    fn sweep_chunks(&self, upto: Epoch, after: SweepFrom, limit: usize) -> Result<Swept> {
        self.write_on_a_full_disk("cannot sweep chunks", |tx| {
            rules::sweep_chunks(&mut SqlTables::of(tx), upto, after, limit)
        })
    }

    fn segments(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentRow>> {
        self.read("cannot list segments", |db| records_collect::segments(db, after, limit))
    }

    fn wasteful_segments(&self, dead_bytes: u64, limit: usize) -> Result<Vec<SegmentRow>> {
        self.read("cannot list segments", |db| {
            records_collect::wasteful_segments(db, dead_bytes, limit)
        })
    }

    fn chunks_in(
        &self,
        segment: SegmentId,
        after: Option<ChunkRef>,
        limit: usize,
    ) -> Result<Vec<StoredChunk>> {
        self.read("cannot list the chunks of a segment", |db| {
            records_collect::chunks_in(db, segment, after, limit)
        })
    }

    fn move_chunks(
        &self,
        session: SessionId,
        moves: &[ChunkMove],
        segments: &[SegmentLen],
    ) -> Result<u64> {
        // Whatever the policy is: the old place may have been promised to outlive a power cut by
        // another process, and the next sync of the log makes this transaction last.
        for told in segments {
            self.segments().sync_with_names(told.segment)?;
        }
        self.write_durably("cannot note where chunks are now", |tx| {
            let mut tables = SqlTables::of(tx);
            tables.note(segments, self.sync)?;
            rules::move_chunks(&mut tables, session, moves)
        })
    }

    fn condemn_segments(&self) -> Result<u64> {
        self.write_on_a_full_disk("cannot condemn segments", |tx| {
            records_collect::condemn_segments(tx)
        })
    }

    fn condemned_segments(
        &self,
        upto: Epoch,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentRow>> {
        self.read("cannot list segments", |db| {
            records_collect::condemned_segments(db, upto, after, limit)
        })
    }

    fn sweep_segment(&self, segment: SegmentId, upto: Epoch) -> Result<bool> {
        self.write_synced("cannot remove a segment", |tx| -> Result<_, Halt> {
            Ok(records_collect::sweep_segment(tx, segment, upto)?)
        })
    }

    fn last_segment(&self) -> Result<Option<SegmentId>> {
        self.read("cannot look for the last segment", records_collect::last_segment)
    }
}
