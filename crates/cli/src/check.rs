//! `check`: do the records and the segments tell of each other?

use drystone_store::Finding;

use crate::exit::{Exit, Outcome};
use crate::interrupt::Interrupt;
use crate::open::open;
use crate::output::{self, Output};
use crate::settings::Settings;

pub(crate) fn run(settings: &Settings, output: &Output) -> Outcome {
    let interrupt = Interrupt::catch(output)?;
    let store = open(settings)?.store;
    let mut check = store.check();
    let (mut damages, mut leftovers) = (0_u64, 0_u64);
    while let Some(found) = check.step()? {
        interrupt.check()?;
        for finding in found {
            *(if finding.is_damage() { &mut damages } else { &mut leftovers }) += 1;
            tell(&finding, output)?;
        }
    }
    let looked_at = check.looked_at();
    if output.json {
        let summary = serde_json::json!({
            "looked_at": looked_at, "damage": damages, "leftovers": leftovers
        });
        output.report(&serde_json::json!({ "summary": summary }))?;
    } else {
        output.note(format!(
            "checked {looked_at} rows and segments: {damages} are damaged, {leftovers} are left \
             over"
        ));
    }
    if damages > 0 {
        output.note("`drystone scrub` reads every chunk and names the objects that are affected");
        return Ok(Exit::Damaged);
    }
    Ok(Exit::Success)
}

fn tell(finding: &Finding, output: &Output) -> std::io::Result<()> {
    let (what, text) = words(finding);
    if !output.json {
        return output::print(format_args!("{text}\n"));
    }
    let (mut segment, mut bucket, mut key, mut upload, mut part) = (None, None, None, None, None);
    match finding {
        Finding::SegmentMissing(id) | Finding::SegmentUnknown(id) | Finding::Leftover(id) => {
            segment = Some(id.0);
        }
        Finding::SegmentShort { segment: id, .. }
        | Finding::SegmentUnreadable { segment: id, .. }
        | Finding::ChunksBeyond { segment: id, .. }
        | Finding::LiveWrong { segment: id, .. } => segment = Some(id.0),
        Finding::ObjectWithoutManifest(in_bucket, name) => {
            (bucket, key) = (Some(in_bucket.as_str()), Some(name.as_str()));
        }
        Finding::PartWithoutManifest(id, number) => (upload, part) = (Some(id.0), Some(*number)),
        _ => {}
    }
    output.json(&serde_json::json!({
        "finding": what, "damage": finding.is_damage(), "segment": segment, "bucket": bucket,
        "key": key, "upload": upload, "part": part, "text": text,
    }))
}

/// A finding in one word for programs, and in a sentence for people.
fn words(finding: &Finding) -> (&'static str, String) {
    match finding {
        Finding::SegmentMissing(segment) => {
            ("segment_missing", format!("segment {segment} is missing"))
        }
        Finding::SegmentShort { segment, bytes } => (
            "segment_short",
            format!("segment {segment} is shorter than the {bytes} bytes that are committed of it"),
        ),
        Finding::SegmentUnreadable { segment, detail } => {
            ("segment_unreadable", format!("segment {segment} cannot be read: {detail}"))
        }
        Finding::ChunksBeyond { segment, bytes, end } => (
            "chunks_beyond",
            format!(
                "the records name chunks in segment {segment} up to byte {end} that are not inside \
                 its {bytes} bytes"
            ),
        ),
        Finding::SegmentUnknown(segment) => (
            "segment_unknown",
            format!("the records name chunks in segment {segment}, which they do not know"),
        ),
        Finding::LiveWrong { segment, live, sum } => (
            "live_wrong",
            format!(
                "the records count {live} live bytes in segment {segment}, and there are {sum}"
            ),
        ),
        Finding::ObjectWithoutManifest(bucket, key) => (
            "object_without_manifest",
            format!(
                "object `{}` in bucket `{bucket}` has no manifest",
                key.as_str().escape_debug()
            ),
        ),
        Finding::PartWithoutManifest(upload, number) => (
            "part_without_manifest",
            format!("part {number} of the unfinished upload {upload} has no manifest"),
        ),
        Finding::Leftover(segment) => (
            "leftover",
            format!("segment {segment} is left over: no record tells of it, and it takes room"),
        ),
        _ => ("unknown", "something that this version has no words for".to_owned()),
    }
}
