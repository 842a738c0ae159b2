//! The server's asynchronous edge: the scenarios are in `models/edge`, with the server's files.

use drystone_edge::run;
use drystone_edge::scenarios::{connections, gates, lanes, uploads};
use drystone_models::explore::{Scope, check};

/// Nothing but places.
const PLACES: Scope = Scope::SMALL;
/// A store, and bodies of hundreds of KiB.
const BODIES: Scope = Scope::STORE.shuttle(6_000);

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
    PLACES connections:
        one_with_a_request_is_not_closed_for_others
        one_that_is_chosen_hears_of_it;
    BODIES uploads:
        one_that_is_given_up_leaves_nothing_and_gives_everything_back
        one_that_fails_leaves_nothing_and_gives_everything_back
        a_slow_one_makes_way_or_ends
        one_that_is_asked_to_leave_leaves_nothing_or_ends
        a_healthy_one_is_not_turned_away
        a_slow_one_that_is_alone_may_take_its_time
        few_pieces_wait_for_the_store;
    BODIES lanes:
        every_upload_gets_a_lane_in_time
        closing_them_disturbs_nobody;
}
