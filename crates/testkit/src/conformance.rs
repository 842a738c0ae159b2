//! What every backend must do: one check for each behaviour, run over a [`Fixture`].
//!
//! The checks speak to [`Records`] and [`SegmentStorage`] directly and keep the protocol's own
//! rules (bytes are written and settled before a commit names them, manifests have no gaps), so
//! that the memory backend's contract holds in them, too. Where segments are files there are checks
//! of these as well.

mod bench;
mod chunks;
mod copies;
mod deletes;
mod files;
mod keys;
mod manifests;
mod multipart;
mod names;
mod objects;
mod pins;
mod scrub;
mod segments;
mod sessions;

use drystone_appender::OwnedFiles;
use drystone_chunker::ChunkId;
use drystone_store::{Records, SegmentStorage};
use drystone_sync::PlainArc;

use crate::memory::Memory;

/// A store that is open in one process.
pub struct Opened {
    /// Its records.
    pub records: PlainArc<dyn Records>,
    /// Its segments.
    pub segments: PlainArc<dyn SegmentStorage>,
    /// The files that its segments are; `None` where they are something else.
    pub files: Option<PlainArc<dyn OwnedFiles>>,
}

/// An empty store of some backend.
pub trait Fixture {
    /// Opens the store once more, as another process would; what was opened before stays open.
    fn open(&self) -> Opened;

    /// Does to a chunk what a collector does that finds it unreferenced.
    fn condemn(&self, id: &ChunkId);

    /// Panics when the backend saw its contract broken.
    fn finish(&self) {}
}

impl Fixture for Memory {
    fn open(&self) -> Opened {
        let (records, segments, files) = self.open_with_files();
        Opened { records, segments, files: Some(files) }
    }

    fn condemn(&self, id: &ChunkId) {
        assert!(Memory::condemn(self, id), "there is no chunk {id}");
    }

    fn finish(&self) {
        self.verify();
    }
}

/// A machine whose segments are objects.
pub struct ObjectMachine(pub Memory);

impl Fixture for ObjectMachine {
    fn open(&self) -> Opened {
        let (records, segments) = self.0.open_objects();
        Opened { records, segments, files: None }
    }

    fn condemn(&self, id: &ChunkId) {
        Fixture::condemn(&self.0, id);
    }

    fn finish(&self) {
        Fixture::finish(&self.0);
    }
}

/// One behaviour.
pub type Check = fn(&dyn Fixture);

/// Every check, by its name.
pub const CHECKS: &[(&str, Check)] = &[
    ("a_session_lives_until_it_is_ended", sessions::a_session_lives_until_it_is_ended),
    ("expiry_is_for_ever", sessions::expiry_is_for_ever),
    ("a_heartbeat_keeps_a_session_alive", sessions::a_heartbeat_keeps_a_session_alive),
    ("a_lease_too_long_is_refused", sessions::a_lease_too_long_is_refused),
    ("a_session_moves_on_with_an_entry", sessions::a_session_moves_on_with_an_entry),
    ("a_dead_session_commits_nothing", sessions::a_dead_session_commits_nothing),
    ("one_refused_entry_leaves_the_others", sessions::one_refused_entry_leaves_the_others),
    (
        "pins_are_replaced_and_go_with_their_session",
        pins::pins_are_replaced_and_go_with_their_session,
    ),
    ("readers_move_on_and_never_back", pins::readers_move_on_and_never_back),
    ("a_move_renews_the_lease", pins::a_move_renews_the_lease),
    ("chunks_are_found_in_the_order_asked", chunks::chunks_are_found_in_the_order_asked),
    ("the_first_row_of_a_chunk_stays", chunks::the_first_row_of_a_chunk_stays),
    ("a_vanished_chunk_is_refused", chunks::a_vanished_chunk_is_refused),
    ("a_condemned_chunk_is_revived", chunks::a_condemned_chunk_is_revived),
    (
        "writing_a_condemned_chunk_again_revives_it",
        chunks::writing_a_condemned_chunk_again_revives_it,
    ),
    ("totals_add_up", chunks::totals_add_up),
    ("an_object_is_what_was_put", objects::an_object_is_what_was_put),
    ("a_put_replaces", objects::a_put_replaces),
    ("conditions_are_held", objects::conditions_are_held),
    ("a_delete_holds_its_condition", objects::a_delete_holds_its_condition),
    ("the_same_bytes_again_are_another_object", objects::the_same_bytes_again_are_another_object),
    ("conditions_see_their_own_batch", objects::conditions_see_their_own_batch),
    ("a_property_is_changed_and_nothing_else", objects::a_property_is_changed_and_nothing_else),
    ("a_missing_bucket_is_an_error", objects::a_missing_bucket_is_an_error),
    ("a_deleted_object_is_gone", objects::a_deleted_object_is_gone),
    ("many_are_deleted_each_by_its_condition", deletes::many_are_deleted_each_by_its_condition),
    ("what_is_left_pending_is_taken_back", manifests::what_is_left_pending_is_taken_back),
    ("a_forgotten_segment_is_not_listed", segments::a_forgotten_segment_is_not_listed),
    ("a_copy_is_an_object_of_its_own", copies::a_copy_is_an_object_of_its_own),
    ("a_copy_is_refused_with_a_reason", copies::a_copy_is_refused_with_a_reason),
    ("ranges_become_parts", copies::ranges_become_parts),
    ("a_composite_is_paged_from_any_byte", copies::a_composite_is_paged_from_any_byte),
    ("an_upload_is_what_was_begun", multipart::an_upload_is_what_was_begun),
    ("uploads_are_listed_by_key_and_id", multipart::uploads_are_listed_by_key_and_id),
    ("parts_are_replaced_and_paged", multipart::parts_are_replaced_and_paged),
    ("an_upload_becomes_an_object", multipart::an_upload_becomes_an_object),
    ("the_parts_of_an_object_are_remembered", multipart::the_parts_of_an_object_are_remembered),
    ("a_refused_completion_changes_nothing", multipart::a_refused_completion_changes_nothing),
    ("an_aborted_upload_is_gone", multipart::an_aborted_upload_is_gone),
    ("uploads_go_with_their_bucket", multipart::uploads_go_with_their_bucket),
    ("a_key_is_what_was_put", keys::a_key_is_what_was_put),
    ("keys_are_listed_and_revoked", keys::keys_are_listed_and_revoked),
    ("objects_are_listed_in_byte_order", names::objects_are_listed_in_byte_order),
    ("a_listing_can_be_paged", names::a_listing_can_be_paged),
    ("a_folded_listing_skips_what_is_below", names::a_folded_listing_skips_what_is_below),
    ("buckets_are_made_once_and_listed", names::buckets_are_made_once_and_listed),
    ("a_bucket_keeps_what_was_said_of_it", names::a_bucket_keeps_what_was_said_of_it),
    ("a_bucket_can_be_public_and_removed", names::a_bucket_can_be_public_and_removed),
    ("huge_limits_mean_everything", names::huge_limits_mean_everything),
    ("a_manifest_is_paged_from_any_byte", manifests::a_manifest_is_paged_from_any_byte),
    ("an_empty_object_has_an_empty_manifest", manifests::an_empty_object_has_an_empty_manifest),
    ("a_pending_manifest_becomes_an_object", manifests::a_pending_manifest_becomes_an_object),
    ("a_pending_manifest_is_invisible", manifests::a_pending_manifest_is_invisible),
    (
        "chunks_are_scrubbed_in_the_order_of_their_bytes",
        scrub::chunks_are_scrubbed_in_the_order_of_their_bytes,
    ),
    ("a_scrub_remembers_where_it_was", scrub::a_scrub_remembers_where_it_was),
    ("what_was_verified_may_be_left_out", scrub::what_was_verified_may_be_left_out),
    ("a_marked_chunk_is_healed_by_its_bytes", scrub::a_marked_chunk_is_healed_by_its_bytes),
    ("what_a_chunk_is_in_is_found", scrub::what_a_chunk_is_in_is_found),
    ("a_check_is_told_what_there_is", scrub::a_check_is_told_what_there_is),
    ("appended_bytes_read_back", segments::appended_bytes_read_back),
    ("reads_beyond_the_end_say_so", segments::reads_beyond_the_end_say_so),
    ("what_is_held_is_not_given_back", segments::what_is_held_is_not_given_back),
    ("a_removed_segment_is_gone", segments::a_removed_segment_is_gone),
    ("segments_are_listed_by_id", segments::segments_are_listed_by_id),
    ("the_fullest_open_segment_comes_first", segments::the_fullest_open_segment_comes_first),
    ("a_committed_length_never_shrinks", segments::a_committed_length_never_shrinks),
    ("a_file_grows_by_whole_appends", files::a_file_grows_by_whole_appends),
    ("an_owned_segment_is_not_adopted", files::an_owned_segment_is_not_adopted),
    ("an_owned_segment_is_not_removed", files::an_owned_segment_is_not_removed),
    ("a_new_owner_reads_the_length_again", files::a_new_owner_reads_the_length_again),
    ("a_rewind_drops_what_was_not_committed", files::a_rewind_drops_what_was_not_committed),
    ("a_rewind_beyond_the_end_is_refused", files::a_rewind_beyond_the_end_is_refused),
    ("a_segment_is_full_at_its_limit", files::a_segment_is_full_at_its_limit),
];

/// Runs every check over a fixture of its own.
///
/// # Panics
/// When a check fails; its name is printed before.
pub fn run(mut make: impl FnMut() -> Box<dyn Fixture>) {
    for (name, check) in CHECKS {
        println!("conformance: {name}");
        let fixture = make();
        check(&*fixture);
        fixture.finish();
    }
}
