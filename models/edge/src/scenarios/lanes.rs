//! Lanes, lent and ended.

use super::rig::{PREFIX_BYTES, Rig, Script, Step, unless, upload};
use crate::digest::Expected;
use crate::task::{spawn, spawn_blocking};

const LARGE: [Step; 3] = [Step::Send(PREFIX_BYTES), Step::Send(1), Step::Send(1)];
const SMALL: [Step; 1] = [Step::Send(5)];

/// Three uploads, two lanes, and the heartbeat.
pub async fn every_upload_gets_a_lane_in_time() {
    let rig = Rig::new(2, 3);
    let uploads = ["a", "b", "c"].map(|name| {
        let script = Script::new(if name == "a" { &LARGE[..] } else { &SMALL });
        spawn(upload(rig.engine.clone(), name, script.body(), Expected::default()))
    });
    let beat = spawn_blocking({
        let lanes = rig.engine.lanes.clone();
        move || lanes.beat()
    });
    for upload in uploads {
        if let Err(error) = upload.await.expect("no panic") {
            panic!("an upload failed: {error}");
        }
    }
    beat.await.expect("no panic");
    assert!(["a", "b", "c"].iter().all(|name| rig.is_stored(name)));
    rig.finish();
}

/// The server stops: requests that do not end in time are dropped, and what their feeders still have comes back after that.
pub async fn a_drain_ends_every_lane() {
    let rig = Rig::new(2, 2);
    let requests = ["a", "b"].map(|name| {
        let (script, cue) = Script::new(&LARGE).with_cue();
        let engine = rig.engine.clone();
        spawn(async move {
            let upload = upload(engine, name, script.clone().body(), Expected::default());
            (unless(&cue, upload).await.is_some(), script)
        })
    });
    let mut outcomes = Vec::new();
    for request in requests {
        outcomes.push(request.await.expect("no panic"));
    }
    let lanes = rig.engine.lanes.clone();
    spawn_blocking(move || lanes.close()).await.expect("no panic");
    // Both places: no feeder is under way any more.
    let places = [rig.engine.transfers.enter().await, rig.engine.transfers.enter().await];
    assert!(places.iter().all(Result::is_ok));
    assert_eq!(rig.ingests(), 0, "a lane was left behind");
    for ((is_acknowledged, script), name) in outcomes.into_iter().zip(["a", "b"]) {
        assert!(!is_acknowledged || rig.is_stored(name), "an acknowledged upload is not there");
        assert!(script.has_ended() || !rig.is_stored(name), "an upload that was given up is there");
    }
    drop(places);
    rig.finish();
}
