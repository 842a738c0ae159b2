//! What goes on in the background while there are requests.

use std::time::Duration;

use drystone_sync::PlainArc;
use tokio::time::Instant;

use crate::download::{PATIENCE, PATIENCE_WHEN_WANTED};
use crate::edge::Edge;
use crate::ingest_slots::BEAT;

/// How often the edge looks after downloads that do not use their turns, and after what requests
/// have left.
const SWEEP: Duration = Duration::from_millis(250);
/// The same when other downloads wait for a turn.
const SWEEP_WHEN_WANTED: Duration = Duration::from_millis(20);
/// Looks at which no buffer is in use, after which memory goes back to the system: about a second.
const TRIM_AFTER_LOOKS: u32 = 4;
/// And so often from then on, about each two seconds: lists and documents need no buffer, and leave
/// memory behind, too. Where nothing is free, it costs next to nothing.
const TRIM_EVERY_LOOKS: u32 = 8;

impl Edge {
    /// Keeps sessions alive, takes turns from downloads that do not use theirs, and gives memory
    /// and room on the disk back. Goes on until it is dropped.
    pub async fn upkeep(self: PlainArc<Self>) {
        let mut beat_at = Instant::now();
        let mut idle_looks = 0_u32;
        loop {
            tokio::select! {
                () = tokio::time::sleep(SWEEP) => {
                    self.sweep(PATIENCE);
                    let is_idle = self.store.usage().buffers.now == 0;
                    idle_looks = if is_idle { idle_looks.saturating_add(1) } else { 0 };
                    self.clean(idle_looks % TRIM_EVERY_LOOKS == TRIM_AFTER_LOOKS).await;
                }
                () = self.reads.wanted() => {
                    while self.reads.is_wanted() || self.has_no_buffer() {
                        self.sweep(PATIENCE_WHEN_WANTED);
                        tokio::time::sleep(SWEEP_WHEN_WANTED).await;
                    }
                }
            }
            if beat_at.elapsed() >= BEAT {
                beat_at = Instant::now();
                let (store, ingest_slots) =
                    (self.store.clone(), PlainArc::clone(&self.ingest_slots));
                let beat = move || {
                    ingest_slots.beat();
                    if let Err(error) = store.move_readers_on() {
                        tracing::warn!(
                            %error,
                            "objects that are read now may break off if they are deleted"
                        );
                    }
                };
                // Not among the calls: those may all wait for a slow disk, and the sessions must
                // outlive that.
                let _ = tokio::task::spawn_blocking(beat).await;
            }
        }
    }

    /// Takes the turns and buffers of downloads whose clients have not asked for more in this time.
    pub fn sweep(&self, patience: Duration) {
        self.held.sweep(patience);
    }

    /// Gives back what requests have left. What fails is tried again with the next look.
    async fn clean(&self, trims: bool) {
        if trims {
            let (store, give_back) = (self.store.clone(), self.give_back);
            let trim = move || {
                store.trim();
                give_back();
            };
            let _ = self.run(trim).await;
        }
        if self.spool.is_dirty() {
            let spool = PlainArc::clone(&self.spool);
            let _ = self.run(move || spool.clean()).await;
        }
        if self.ingest_slots.has_given_up() {
            let ingest_slots = PlainArc::clone(&self.ingest_slots);
            let _ = self.run(move || ingest_slots.end_given_up()).await;
        }
    }
}
