//! Ingest slots, lent and ended.

use super::rig::{Expected, PREFIX_BYTES, Rig, Script, Step, unless, upload};
use crate::task::{spawn, spawn_blocking};

const LARGE: [Step; 3] = [Step::Send(PREFIX_BYTES), Step::Send(1), Step::Send(1)];
const SMALL: [Step; 1] = [Step::Send(5)];

/// Three uploads, two ingest slots, and the heartbeat.
pub async fn every_upload_gets_an_ingest_slot_in_time() {
    let rig = Rig::new(2, 3);
    let uploads = ["a", "b", "c"].map(|name| {
        let script = Script::new(if name == "a" { &LARGE[..] } else { &SMALL });
        spawn(upload(rig.edge.clone(), name, script.body(), Expected::default()))
    });
    let beat = spawn_blocking({
        let ingest_slots = rig.edge.ingest_slots.clone();
        move || ingest_slots.beat()
    });
    for upload in uploads {
        if let Err(error) = upload.await.expect("no panic") {
            panic!("an upload failed: {error}");
        }
    }
    beat.await.expect("no panic");
    assert!(["a", "b", "c"].iter().all(|name| rig.is_stored(name)));
    rig.edge.ingest_slots.close();
    assert_eq!(rig.ingests(), 0, "an idle ingest slot was not ended");
    rig.finish();
}

/// The ingest slots are closed while requests come, end and are dropped, and their feeders are
/// still at it. The server closes them after all that; but a feeder may outlive its request.
pub async fn closing_them_disturbs_nobody() {
    let rig = Rig::new(2, 2);
    let requests = ["a", "b"].map(|name| {
        let (script, cue) = Script::new(&LARGE).with_cue();
        let edge = rig.edge.clone();
        spawn(async move {
            let upload = upload(edge, name, script.clone().body(), Expected::default());
            (unless(&cue, upload).await, script)
        })
    });
    let ingest_slots = rig.edge.ingest_slots.clone();
    let close = spawn_blocking(move || ingest_slots.close());
    let mut outcomes = Vec::new();
    for request in requests {
        outcomes.push(request.await.expect("no panic"));
    }
    close.await.expect("no panic");
    rig.settle().await;
    for ((outcome, script), name) in outcomes.into_iter().zip(["a", "b"]) {
        match outcome {
            Some(Ok(_)) => assert!(rig.is_stored(name), "an acknowledged upload is not there"),
            Some(Err(error)) => panic!("an upload failed: {error}"),
            None => {
                assert!(
                    script.has_ended() || !rig.is_stored(name),
                    "an upload that was given up is there"
                );
            }
        }
    }
    rig.finish();
}
