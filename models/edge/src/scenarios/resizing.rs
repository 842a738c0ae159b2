//! Other ceilings for an edge that is at work.

use drystone_edge::deadlines::Deadlines;
use drystone_edge::gate::{Share, Size};
use drystone_edge::{Ceilings, ChangeError, Fault};
use drystone_sync::PlainArc;

use super::rig::{Expected, PREFIX_BYTES, Rig, Script, Step, upload};
use crate::task::{spawn, yield_now};
use crate::time::{Duration, advance};

const BODY: [Step; 3] = [Step::Send(PREFIX_BYTES), Step::Send(1), Step::Send(1)];
/// More than a connection takes to leave.
const MOMENTS_MAX: usize = 1000;
/// As long as an idle connection stays, although another client wants its place.
const MOMENT: Duration = Duration::from_secs(2);

fn ceilings(connections: usize, transfers: usize) -> Ceilings {
    Ceilings { connections, transfers }
}

/// Two uploads share two ingest slots while there is one transfer less, and one more again.
pub async fn uploads_end_while_their_ceiling_moves() {
    let rig = Rig::new(2, 2);
    let uploads = ["a", "b"].map(|name| {
        (
            name,
            spawn(upload(rig.edge.clone(), name, Script::new(&BODY).body(), Expected::default())),
        )
    });
    let change = spawn({
        let edge = PlainArc::clone(&rig.edge);
        async move {
            let mut before = ceilings(4, 2);
            for after in [ceilings(4, 1), ceilings(4, 2)] {
                // Raising needs room for what is under way; lowering has it always.
                let changed = edge.change(before, after, Deadlines::default(), |most| {
                    assert!(most.transfers >= after.transfers);
                    most.transfers <= 2
                });
                assert!(changed.is_ok(), "a change that has room was refused");
                before = after;
                yield_now().await;
            }
        }
    });
    for (name, upload) in uploads {
        if let Err(error) = upload.await.expect("no panic") {
            panic!("an upload failed while a ceiling moved: {error}");
        }
        assert!(rig.is_stored(name), "an acknowledged upload is not there");
    }
    change.await.expect("no panic");
    let turns = [(); 2].map(|()| rig.edge.transfers.try_enter());
    assert!(turns.iter().all(Option::is_some), "a transfer was lost");
    assert!(rig.edge.transfers.try_enter().is_none(), "there are too many transfers");
    drop(turns);
    rig.finish();
}

/// What is under way does not fit beside what is raised: then everything is as it was, and a
/// request that waits for a turn gets it.
pub async fn a_change_without_room_strands_none_that_waits() {
    let rig = Rig::new(1, 1);
    let edge = &rig.edge;
    let held = edge.transfers.try_enter().expect("a turn is free");
    let waiting = spawn({
        let edge = PlainArc::clone(edge);
        async move { edge.transfers.enter(&Share::default(), Size::Large).await.map(drop) }
    });
    let change = spawn({
        let edge = PlainArc::clone(edge);
        async move {
            let (before, after) = (ceilings(4, 1), ceilings(2, 1));
            edge.change(before, after, Deadlines::default(), |_| false)
        }
    });
    let leaving = spawn(async move { drop(held) });
    let changed = change.await.expect("no panic");
    assert!(matches!(changed, Err(ChangeError::UnderWay(_))), "a change without room was made");
    leaving.await.expect("no panic");
    assert!(waiting.await.expect("no panic").is_ok(), "one that waits patiently was refused");
    assert_eq!(edge.admission.usage().ceiling, 4, "a change that was refused was made by halves");
    rig.finish();
}

/// All connections are taken and idle, and there are to be fewer; a client that knocks is let in,
/// and never more are there than there may be.
pub async fn a_client_is_let_in_while_there_are_to_be_fewer() {
    let rig = Rig::new(1, 1);
    let edge = &rig.edge;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let permit = edge.admission.admit().await;
        let connection = edge.connection();
        drop(connection.begin());
        idle.push(spawn(async move {
            connection.watch().await;
            drop(permit);
        }));
    }
    let knock = spawn({
        let edge = PlainArc::clone(edge);
        async move { edge.admission.admit().await }
    });
    let change = spawn({
        let edge = PlainArc::clone(edge);
        async move {
            let changed =
                edge.change(ceilings(4, 1), ceilings(2, 1), Deadlines::default(), |_| true);
            changed.map_err(|_| Fault::Internal)
        }
    });
    assert!(change.await.expect("no panic").is_ok(), "a change that has room was refused");
    while !knock.is_finished() {
        advance(MOMENT);
        yield_now().await;
    }
    let permit = knock.await.expect("no panic");
    let mut moments = 0;
    while edge.admission.usage().now > 2 {
        assert!(moments < MOMENTS_MAX, "there are still more connections than there may be");
        moments += 1;
        yield_now().await;
    }
    drop(permit);
    // Those that were not asked to leave stay.
    while edge.admission.eviction.close_idle() {}
    for connection in idle {
        connection.await.expect("no panic");
    }
    rig.finish();
}
