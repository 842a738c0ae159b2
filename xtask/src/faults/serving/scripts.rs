//! What the clients of the crowds ask for.

use std::sync::Arc;

use anyhow::Result;

use super::client::{bare_head, head_of};
use super::crowd::{Owed, Pace, Script};
use super::sigv4::presigned;
use super::stock::{
    LONG_KEYS, Multipart, PARTS_PATH, Stock, doomed_key, in_xml, parts_max, unique,
};
use crate::stage::Mode;

pub(super) const SLOW: u64 = 1 << 10;
pub(super) const KB: u64 = 1_000;
pub(super) const MIB: u64 = 1 << 20;
/// The pace of an honest client with a slow line.
pub(super) const UPLOAD_PACE: u64 = 80 * KB;
const DOWNLOAD_PACE: u64 = 100 * KB;
/// An honest download gets at least this part of its pace.
const DOWNLOAD_SHARE_MIN: f64 = 0.25;

/// The routes with long answers: lists in each of their forms, archives, and the report on many
/// objects that are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Largest {
    FolderHtml,
    FolderJson,
    FrontHtml,
    FrontJson,
    LimitsHtml,
    LimitsJson,
    Metrics,
    Objects,
    ObjectsV1,
    Versions,
    Buckets,
    Uploads,
    Parts,
    Deleted,
    Zip,
    Tar,
}

pub(super) const ANSWERS: [Largest; 16] = [
    Largest::FolderHtml,
    Largest::FolderJson,
    Largest::FrontHtml,
    Largest::FrontJson,
    Largest::LimitsHtml,
    Largest::LimitsJson,
    Largest::Metrics,
    Largest::Objects,
    Largest::ObjectsV1,
    Largest::Versions,
    Largest::Buckets,
    Largest::Uploads,
    Largest::Parts,
    Largest::Deleted,
    Largest::Zip,
    Largest::Tar,
];

impl Largest {
    /// The name of the crowd that reads it slowly.
    pub(super) fn crowd(self) -> &'static str {
        match self {
            Self::FolderHtml => "slow-html",
            Self::FolderJson => "slow-json",
            Self::FrontHtml => "slow-front-html",
            Self::FrontJson => "slow-front-json",
            Self::LimitsHtml => "slow-limits",
            Self::LimitsJson => "slow-limits-json",
            Self::Metrics => "slow-metrics",
            Self::Objects => "slow-objects",
            Self::ObjectsV1 => "slow-objects-v1",
            Self::Versions => "slow-versions",
            Self::Buckets => "slow-buckets",
            Self::Uploads => "slow-upload-lists",
            Self::Parts => "slow-part-lists",
            Self::Deleted => "slow-deleted",
            Self::Zip => "slow-zip",
            Self::Tar => "slow-tar",
        }
    }

    pub(super) fn script(self, stock: &Stock) -> Result<Script> {
        let html = "Accept: text/html\r\n";
        let file = |path: &str, more| head_of("GET", &format!("/_/{path}"), 0, more);
        let listed = |path: &str, query: &str| -> Result<String> {
            Ok(bare_head("GET", &presigned("GET", path, query, &[])?, 0, ""))
        };
        let keys = LONG_KEYS;
        Ok(get(match self {
            Self::FolderHtml => file("files/long/deep/", html),
            Self::FolderJson => file("files/long/deep/?format=json", ""),
            Self::FrontHtml => file("files/", html),
            Self::FrontJson => file("files/?format=json", ""),
            Self::LimitsHtml => file("limits", html),
            Self::LimitsJson => file("limits?format=json", ""),
            Self::Metrics => file("metrics", ""),
            Self::Objects => {
                listed("/long", &format!("list-type=2&max-keys={keys}&prefix=deep%2F"))?
            }
            Self::ObjectsV1 => listed("/long", &format!("max-keys={keys}&prefix=deep%2F"))?,
            Self::Versions => {
                listed("/long", &format!("max-keys={keys}&prefix=deep%2F&versions="))?
            }
            Self::Buckets => listed("/", "")?,
            Self::Uploads => listed("/long", &format!("max-uploads={keys}&uploads="))?,
            Self::Parts => {
                let query = format!("max-parts={keys}&uploadId={}", stock.many_parts);
                listed(PARTS_PATH, &query)?
            }
            Self::Deleted => return deleting(&stock.absent),
            Self::Zip => file("files/long/few/?archive=zip", ""),
            Self::Tar => file("files/long/deep/?archive=tar", ""),
        }))
    }
}

/// Clients that read these answers slowly, one kind after another.
pub(super) fn slow_readers(count: usize, of: &[Largest], stock: &Stock) -> Result<Vec<Script>> {
    let slow = |index: usize| -> Result<Script> {
        Ok(Script { read: Pace::of(SLOW), ..of[index % of.len()].script(stock)? })
    };
    (0..count).map(slow).collect()
}

/// Clients that ask for the same answers again and again, at full speed.
pub(super) fn listers(count: usize, stock: &Stock) -> Result<Vec<Script>> {
    let lister = |index: usize| -> Result<Script> {
        Ok(Script { again: true, ..ANSWERS[index % ANSWERS.len()].script(stock)? })
    };
    (0..count).map(lister).collect()
}

pub(super) fn get(head: String) -> Script {
    Script {
        head,
        filler: Arc::from([0]),
        body_bytes: 0,
        stops_after: None,
        send: Pace::FULL,
        read: Pace::FULL,
        expected: None,
        again: false,
        status: None,
        owed: Owed::NOTHING,
    }
}

pub(super) fn upload(name: &str, bytes: u64, filler: Arc<[u8]>) -> Script {
    let head = head_of("PUT", &format!("/_/files/storm/{name}"), bytes, "");
    Script { filler, body_bytes: bytes, ..get(head) }
}

/// Uploads that have not ended when the crowd leaves.
pub(super) fn slow_uploads(count: usize, at_once: u64) -> Result<Vec<Script>> {
    let filler = unique(MIB as usize)?;
    let script = |index| Script {
        send: Pace { at_once, per_s: Some(KB) },
        owed: Owed::PLACE,
        ..upload(&format!("slow-{at_once}-{index}"), 64 * MIB, Arc::clone(&filler))
    };
    Ok((0..count).map(script).collect())
}

pub(super) fn honest_uploads(count: usize) -> Result<Vec<Script>> {
    let script = |index| {
        Ok(Script {
            send: Pace::of(UPLOAD_PACE),
            owed: Owed::ANSWER,
            ..upload(&format!("honest-{index}"), MIB, unique(MIB as usize)?)
        })
    };
    (0..count).map(script).collect()
}

pub(super) fn downloads(count: usize, stock: &Stock) -> Vec<Script> {
    let script = Script {
        read: Pace::of(DOWNLOAD_PACE),
        expected: Some(Arc::clone(&stock.object)),
        owed: Owed { share_min: DOWNLOAD_SHARE_MIN, ..Owed::PLACE },
        ..get(head_of("GET", "/_/files/storm/download", 0, ""))
    };
    vec![script; count]
}

pub(super) fn anonymous(count: usize, stock: &Stock) -> Vec<Script> {
    let script = Script {
        read: Pace::of(SLOW),
        expected: Some(Arc::clone(&stock.object)),
        owed: Owed::PLACE,
        ..get(bare_head("GET", "/open/public", 0, ""))
    };
    vec![script; count]
}

pub(super) fn big_uploads(count: usize, bytes: u64) -> Result<Vec<Script>> {
    let filler = unique(MIB as usize)?;
    let script = |index| Script {
        owed: Owed::ANSWER,
        ..upload(&format!("big-{index}"), bytes, Arc::clone(&filler))
    };
    Ok((0..count).map(script).collect())
}

/// The first part of each multipart upload that has been begun, as large as `bytes`.
pub(super) fn big_parts(count: usize, bytes: u64, stock: &Stock) -> Result<Vec<Script>> {
    let filler = unique(MIB as usize)?;
    let part = |Multipart { path, id }: &Multipart| -> Result<Script> {
        let target = presigned("PUT", path, &format!("partNumber=1&uploadId={id}"), &[])?;
        let script = get(bare_head("PUT", &target, bytes, ""));
        Ok(Script { filler: Arc::clone(&filler), body_bytes: bytes, owed: Owed::ANSWER, ..script })
    };
    stock.multiparts.iter().take(count).map(part).collect()
}

/// A request with a document as its body.
fn document(method: &str, path: &str, query: &str, body: &Arc<[u8]>) -> Result<Script> {
    let target = presigned(method, path, query, &[])?;
    let bytes = body.len() as u64;
    let script = get(bare_head(method, &target, bytes, ""));
    Ok(Script { filler: Arc::clone(body), body_bytes: bytes, ..script })
}

fn deleting(body: &Arc<[u8]>) -> Result<Script> {
    document("POST", "/long", "delete=", body)
}

/// A document that deletes as many keys as one document may name. The first of them exist.
pub(super) fn doomed(index: usize) -> Arc<[u8]> {
    let object = |at| format!("<Object><Key>{}</Key></Object>", in_xml(&doomed_key(index, at)));
    let objects: String = (0..LONG_KEYS).map(object).collect();
    let body =
        format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{objects}</Delete>");
    body.into_bytes().into()
}

pub(super) fn deletes(count: usize) -> Result<Vec<Script>> {
    (0..count).map(|index| Ok(Script { owed: Owed::ANSWER, ..deleting(&doomed(index))? })).collect()
}

fn completion(parts: impl Iterator<Item = (usize, String)>) -> Arc<[u8]> {
    let part = |(number, tag): (usize, String)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
    };
    let parts: String = parts.map(part).collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").into_bytes().into()
}

/// Completions of uploads that have two parts. And as many documents that name as many parts as an
/// upload may have: the server looks all of those up before it finds that they are too small.
pub(super) fn completions(count: usize, mode: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    let named = (1..=parts_max(mode)).map(|number| (number, stock.small_part_tag.clone()));
    let long = completion(named);
    for complete in stock.complete.iter().take(count) {
        let body = completion((1..).zip(complete.tags.clone()));
        let query = format!("uploadId={}", complete.upload.id);
        let script = document("POST", &complete.upload.path, &query, &body)?;
        scripts.push(Script { owed: Owed::ANSWER, ..script });
        let query = format!("uploadId={}", stock.many_parts);
        let script = document("POST", PARTS_PATH, &query, &long)?;
        scripts.push(Script { status: Some(400), owed: Owed::ANSWER, ..script });
    }
    Ok(scripts)
}

/// Documents of both kinds whose client stops half way.
pub(super) fn stopped_documents(count: usize, mode: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let delete = deleting(&stock.absent)?;
    let complete = completions(1, mode, stock)?.pop().unwrap_or_else(|| delete.clone());
    let stopped = |script: &Script| Script {
        stops_after: Some(script.body_bytes / 2),
        status: None,
        owed: Owed::NOTHING,
        ..script.clone()
    };
    let both = [stopped(&delete), stopped(&complete)];
    Ok(both.iter().cycle().take(count).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::serving::stock::DOCUMENTS;

    #[test]
    fn a_document_is_about_as_large_as_one_may_be() {
        let bytes = doomed(DOCUMENTS - 1).len() as u64;
        assert!((7 * MIB / 4..2 * MIB).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn a_completion_names_its_parts_in_order() {
        let body = completion([(1, "\"a\"".to_owned()), (2, "\"b\"".to_owned())].into_iter());
        let expected = "<CompleteMultipartUpload>\
             <Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"b\"</ETag></Part>\
             </CompleteMultipartUpload>";
        assert_eq!(&body[..], expected.as_bytes());
    }
}
