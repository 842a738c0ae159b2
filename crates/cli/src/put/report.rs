//! What `put` says at its end.

use serde::Serialize;

use super::Put;
use crate::exit::Exit;
use crate::output::{objects_and_folders, size};

#[derive(Default, Serialize)]
pub(super) struct Summary {
    pub(super) objects: u64,
    /// Folders that were stored, beside the objects that are files.
    pub(super) folders: u64,
    pub(super) bytes: u64,
    pub(super) new_bytes: u64,
    pub(super) saved_bytes: u64,
    pub(super) chunks: u64,
    pub(super) new_chunks: u64,
    pub(super) commit_groups: u64,
    pub(super) failed: u64,
    pub(super) changed: u64,
    pub(super) skipped: u64,
    pub(super) seconds: f64,
}

impl Put<'_> {
    pub(super) fn finish(mut self) -> anyhow::Result<Exit> {
        let stats = self.store.put_stats();
        let summary = &mut self.summary;
        summary.seconds = self.progress.elapsed().as_secs_f64();
        summary.new_bytes = stats.new_bytes;
        summary.saved_bytes = stats.bytes - stats.new_bytes;
        (summary.chunks, summary.new_chunks) = (stats.chunks, stats.new_chunks);
        summary.commit_groups = stats.commit_groups;
        self.progress.finish();
        if self.output.json {
            #[derive(Serialize)]
            struct Line<'a> {
                summary: &'a Summary,
            }
            self.output.report(&Line { summary: &self.summary })?;
        } else {
            self.output.note(self.summary.line());
        }
        Ok(self.summary.exit())
    }
}

impl Summary {
    fn exit(&self) -> Exit {
        match (self.failed + self.changed, self.objects) {
            (0, _) => Exit::Success,
            (_, 0) => Exit::Failed,
            _ => Exit::Partial,
        }
    }

    fn line(&self) -> String {
        let rate = if self.seconds > 0.0 { self.bytes as f64 / self.seconds } else { 0.0 };
        let mut line = format!(
            "stored {}, {} in {:.1} s ({}/s); {} new, {} saved by dedup",
            objects_and_folders(self.objects, self.folders),
            size(self.bytes),
            self.seconds,
            size(rate as u64),
            size(self.new_bytes),
            size(self.saved_bytes)
        );
        for (count, what) in [
            (self.failed, "failed"),
            (self.changed, "changed while read"),
            (self.skipped, "skipped"),
        ] {
            if count > 0 {
                line.push_str(&format!("; {count} {what}"));
            }
        }
        line
    }
}
