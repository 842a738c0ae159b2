//! The server's asynchronous edge: the scenarios are in `src`, with the server's files.

use drystone_edge_models::run;
use drystone_edge_models::scenarios::{connections, downloads, gates, lanes, turns, uploads};
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
    PLACES gates:
        one_who_gives_up_takes_no_place_with_him
        one_who_loses_patience_takes_no_place_with_him
        nobody_overtakes_one_who_waits
        a_gate_that_is_changed_has_the_last_number_of_places;
    PLACES turns:
        one_that_gives_up_takes_no_turn_with_it
        one_that_loses_patience_takes_no_turn_with_it
        a_fair_gate_that_is_changed_has_the_last_number_of_turns
        turns_go_round_and_small_ones_come_first;
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
        few_pieces_wait_for_the_store;
    OBJECTS downloads:
        one_that_is_given_up_gives_everything_back
        what_the_sweep_takes_is_read_again
        those_that_stall_do_not_hold_up_another;
    BODIES lanes:
        every_upload_gets_a_lane_in_time
        closing_them_disturbs_nobody;
}
