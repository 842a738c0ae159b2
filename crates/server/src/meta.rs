//! What an object's description holds that only protocols understand, and what they are called in
//! it.

use std::collections::BTreeMap;

use drystone_store::{ContentHash, ObjectMeta, ObjectRow};

use crate::digest::{Algorithm, Digested, Uploaded};

/// Up to this length a body's MD5 is computed also when the client did not ask for it: it is the
/// ETag that S3 clients know. MD5 takes a core for each 700 MB/s, so larger bodies get another ETag
/// unless the client sent an MD5 of his own.
pub(crate) const MD5_BYTES_MAX: u64 = 16 << 20;

/// The object's entity tag, without quotes, when it is not made from its content.
const ETAG: &str = "etag";

/// Headers that are kept as they came and given back.
pub(crate) const KEPT_HEADERS: [&str; 5] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "expires"];

/// Whether to compute the MD5 of a body.
pub(crate) fn wants_md5(len: Option<u64>) -> bool {
    len.is_some_and(|len| len <= MD5_BYTES_MAX)
}

/// Notes the checksums of a body: its MD5 as the ETag, the others under their names.
pub(crate) fn note_digests(meta: &mut ObjectMeta, digested: &Digested) {
    note_digests_in(&mut meta.system, digested);
}

/// The same for what has such properties and is no object yet.
pub(crate) fn note_digests_in(system: &mut BTreeMap<String, String>, digested: &Digested) {
    for algorithm in Algorithm::ALL {
        if algorithm == Algorithm::Md5 {
            if let Some(md5) = digested.hex(algorithm) {
                note_etag(system, md5);
            }
        } else if let Some(base64) = digested.base64(algorithm) {
            system.insert(algorithm.header().into(), base64);
        }
    }
}

/// Notes an entity tag that is not made from the content.
pub(crate) fn note_etag(system: &mut BTreeMap<String, String>, etag: String) {
    system.insert(ETAG.into(), etag);
}

/// Whether a property is about the content, and stays when the rest of the description is replaced.
pub(crate) fn is_of_content(name: &str) -> bool {
    name == ETAG || name.starts_with("x-amz-checksum-")
}

/// The entity tag of an object, without quotes.
pub(crate) fn etag(object: &ObjectRow) -> String {
    etag_in(&object.meta.system, &object.content)
}

/// Whether a system property is shown in lists: the entity tag, and what is known of checksums.
pub(crate) fn is_listed(name: &str) -> bool {
    name == ETAG || name.starts_with("x-amz-checksum-") || name.starts_with("checksum-")
}

/// The entity tag that an upload has become known by.
pub(crate) fn etag_of_upload(uploaded: &Uploaded) -> String {
    uploaded.computed.hex(Algorithm::Md5).unwrap_or_else(|| content_tag(&uploaded.stored.content))
}

/// The entity tag of what has these properties and this content.
pub(crate) fn etag_in(system: &BTreeMap<String, String>, content: &ContentHash) -> String {
    system.get(ETAG).cloned().unwrap_or_else(|| content_tag(content))
}

/// A tag that is made from the content has the form of a multipart upload's, so that no client
/// takes it for an MD5.
fn content_tag(content: &ContentHash) -> String {
    let mut hex = content.to_string();
    hex.truncate(32);
    hex.push_str("-1");
    hex
}
