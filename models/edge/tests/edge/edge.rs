//! The asynchronous edge: the scenarios are in `src`.

use drystone_edge_models::run;
use drystone_edge_models::scenarios::{
    answers, connections, downloads, flights, gates, ingest_slots, resizing, semaphores, uploads,
};
use drystone_models::explore::{Scope, check};

/// Nothing but places.
const PLACES: Scope = Scope::SMALL;
/// A store, and bodies of hundreds of KiB.
const BODIES: Scope = Scope::STORE.shuttle(6_000);
/// The same with an object that is stored first, in larger chunks.
const OBJECTS: Scope = Scope::STORE.shuttle(3_000);

macro_rules! scenarios {
    ($($scope:ident $subject:ident: $($name:ident)*;)*) => {$($(
        #[test]
        fn $name() {
            check($scope, || run($subject::$name()));
        }
    )*)*};
}

scenarios! {
    PLACES semaphores:
        one_that_gives_up_takes_no_permit_with_it
        one_that_loses_patience_takes_no_permit_with_it
        a_newcomer_overtakes_none_that_waits
        a_semaphore_that_is_resized_has_the_last_number_of_permits;
    PLACES gates:
        one_that_gives_up_takes_no_turn_with_it
        one_that_loses_patience_takes_no_turn_with_it
        raising_lets_one_through_that_waits
        a_full_queue_makes_room_for_a_shorter_line
        a_gate_that_is_changed_has_the_last_number_of_turns
        turns_go_round_and_small_ones_come_first;
    PLACES flights:
        no_more_than_a_connection_may_hold_is_under_way;
    PLACES connections:
        one_with_a_request_is_not_closed_for_others
        one_that_is_chosen_hears_of_it
        one_that_is_served_stays_while_another_says_nothing
        a_large_request_gets_room_although_the_first_it_asked_has_stayed;
    BODIES uploads:
        one_that_is_given_up_leaves_nothing_and_gives_everything_back
        one_that_fails_leaves_nothing_and_gives_everything_back
        a_slow_one_gives_way_and_ends
        one_that_pauses_does_not_hold_up_another
        one_that_is_given_up_while_it_is_parked_leaves_nothing
        one_that_is_asked_to_leave_leaves_nothing_or_ends
        a_slow_one_that_is_alone_may_take_its_time
        one_that_makes_progress_is_not_asked_to_leave
        few_pieces_wait_for_the_store;
    OBJECTS downloads:
        one_that_is_given_up_gives_everything_back
        what_the_sweep_takes_is_read_again
        those_that_stall_do_not_hold_up_another;
    BODIES answers:
        one_that_is_not_read_holds_up_no_other
        those_that_are_given_up_give_everything_back;
    BODIES resizing:
        uploads_end_while_their_ceiling_moves
        a_change_without_room_strands_none_that_waits
        a_client_is_let_in_while_there_are_to_be_fewer;
    BODIES ingest_slots:
        every_upload_gets_an_ingest_slot_in_time
        closing_them_disturbs_nobody;
}
