//! Checksums of the S3 protocol: where they are promised, how they are kept, and those of an object
//! made of parts.
//!
//! They are kept in an object's description under the names of their headers, in base64. A
//! composite one, the checksum of the parts' checksums, ends in `-N` with the number of parts.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use drystone_edge::fault::Fault;
use http::HeaderMap;
use s3s::{S3Error, S3ErrorCode, TrailingHeaders};

use super::errors::error;
use crate::digest::{Algorithm, Digests, Expected};

/// The algorithm that was chosen for an upload's parts; in the upload's description, never in an
/// object's.
pub(super) const CHOSEN: &str = "checksum-algorithm";
/// `FULL_OBJECT` or `COMPOSITE`, when the object was made of parts.
pub(super) const KIND: &str = "checksum-type";
pub(super) const FULL_OBJECT: &str = "FULL_OBJECT";
pub(super) const COMPOSITE: &str = "COMPOSITE";

/// Those with a header of their own; a `Content-MD5` is verified and not kept but as the ETag.
pub(super) const KEPT: [Algorithm; 5] =
    [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

/// What a request says about its body's checksums.
pub(super) struct Promised {
    expected: Expected,
    /// Checksums that come behind the body.
    trailers: Vec<Algorithm>,
    /// Asked for, and not promised by the client.
    wanted: Option<Algorithm>,
}

impl Promised {
    /// Reads headers that were found to name known algorithms only: see [`super::headers`].
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let expected = Expected::read(headers, Algorithm::ALL)?;
        let announced =
            headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
        let trailers =
            announced.flat_map(|value| value.split(',')).filter_map(Algorithm::parse).collect();
        let wanted = ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"];
        let wanted = wanted.iter().find_map(|name| headers.get(*name));
        let wanted = wanted.and_then(|value| value.to_str().ok()).and_then(Algorithm::parse);
        Ok(Self { expected, trailers, wanted })
    }

    /// Everything that has to be computed.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        self.expected.algorithms().chain(self.trailers.iter().copied()).chain(self.wanted).collect()
    }

    /// All that was promised, when the body has ended.
    ///
    /// # Errors
    /// Trailers are those that were announced, each of them once: any other would be a checksum
    /// that is not verified.
    pub(super) fn complete(self, trailing: Option<&TrailingHeaders>) -> Result<Expected, Fault> {
        let came = trailing.and_then(TrailingHeaders::take).unwrap_or_default();
        self.with_trailers(&came)
    }

    fn with_trailers(self, came: &HeaderMap) -> Result<Expected, Fault> {
        let mut expected = self.expected;
        let announced =
            |name: &str| self.trailers.iter().any(|algorithm| algorithm.header() == name);
        if let Some(name) = came.keys().find(|name| !announced(name.as_str())) {
            return Err(Fault::BadBody(format!("the trailer {name} was not announced").into()));
        }
        for algorithm in &self.trailers {
            let mut values = came.get_all(algorithm.header()).iter();
            let (Some(value), None) = (values.next(), values.next()) else {
                let hint =
                    format!("the trailer {} did not come, or came twice", algorithm.header());
                return Err(Fault::BadBody(hint.into()));
            };
            expected.add(
                *algorithm,
                value.to_str().map_err(|_| Fault::InvalidDigest(algorithm.name()))?,
            )?;
        }
        Ok(expected)
    }
}

/// How the checksums of an upload's parts become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartChecksums {
    pub(super) algorithm: Algorithm,
    pub(super) full: bool,
}

impl PartChecksums {
    /// From what was asked when the upload was created.
    pub(super) fn choose(
        algorithm: Option<&str>,
        kind: Option<&str>,
    ) -> Result<Option<Self>, S3Error> {
        let Some(name) = algorithm else { return Ok(None) };
        let invalid = |text: String| error(S3ErrorCode::InvalidRequest, text);
        let algorithm = Algorithm::parse(name).filter(|algorithm| KEPT.contains(algorithm));
        let algorithm =
            algorithm.ok_or_else(|| invalid("this checksum algorithm is not known".into()))?;
        let is_sha = matches!(algorithm, Algorithm::Sha1 | Algorithm::Sha256);
        let full = match kind {
            None => algorithm == Algorithm::Crc64Nvme,
            Some(FULL_OBJECT) if is_sha => {
                return Err(invalid(format!(
                    "{name} of parts cannot be combined: it goes with COMPOSITE only"
                )));
            }
            Some(FULL_OBJECT) => true,
            Some(COMPOSITE) if algorithm == Algorithm::Crc64Nvme => {
                return Err(invalid(format!("{name} goes with FULL_OBJECT only")));
            }
            Some(COMPOSITE) => false,
            Some(_) => return Err(invalid("the checksum type is FULL_OBJECT or COMPOSITE".into())),
        };
        Ok(Some(Self { algorithm, full }))
    }

    pub(super) fn note(self, system: &mut BTreeMap<String, String>) {
        system.insert(CHOSEN.into(), self.algorithm.name().to_ascii_uppercase());
        system.insert(KIND.into(), self.kind().into());
    }

    /// What was noted.
    pub(super) fn of(system: &BTreeMap<String, String>) -> Option<Self> {
        let algorithm = Algorithm::parse(system.get(CHOSEN)?)?;
        Some(Self { algorithm, full: system.get(KIND).is_some_and(|kind| kind == FULL_OBJECT) })
    }

    pub(super) fn kind(self) -> &'static str {
        if self.full { FULL_OBJECT } else { COMPOSITE }
    }

    /// The object's checksum from its parts' (base64) and lengths; `None` if a part has none,
    /// because it was copied.
    pub(super) fn combine<'a>(
        self,
        parts: impl IntoIterator<Item = (Option<&'a str>, u64)>,
    ) -> Option<String> {
        let mut count = 0;
        let mut digests = Digests::new([self.algorithm]);
        let mut full: Option<u64> = None;
        for (part, len) in parts {
            let part = BASE64.decode(part?).ok()?;
            if self.full {
                let crc = part.iter().fold(0u64, |crc, byte| crc << 8 | u64::from(*byte));
                full =
                    Some(full.map_or(Some(crc), |before| {
                        combine_crc(self.algorithm, before, crc, len)
                    })?);
            } else {
                digests.update(&part);
            }
            count += 1;
        }
        if !self.full {
            return Some(format!("{}-{count}", digests.finish().base64(self.algorithm)?));
        }
        let bytes = full?.to_be_bytes();
        let width = if self.algorithm == Algorithm::Crc64Nvme { 8 } else { 4 };
        Some(BASE64.encode(&bytes[8 - width..]))
    }
}

/// The CRC of A and B one after the other, from that of each and B's length. The method of zlib's
/// `crc32_combine`: appending a zero bit is a linear map over GF(2), so appending n of them is a
/// product of its squares.
fn combine_crc(algorithm: Algorithm, first: u64, second: u64, second_bytes: u64) -> Option<u64> {
    // Reflected polynomials.
    let (polynomial, bits) = match algorithm {
        Algorithm::Crc32 => (0xEDB8_8320, 32),
        Algorithm::Crc32c => (0x82F6_3B78, 32),
        Algorithm::Crc64Nvme => (0x9A6C_9329_AC4B_C9B5, 64),
        _ => return None,
    };
    let mut zero_bit: Vec<u64> =
        (0..bits).map(|bit| if bit == 0 { polynomial } else { 1 << (bit - 1) }).collect();
    let apply = |matrix: &[u64], vector: u64| {
        matrix
            .iter()
            .enumerate()
            .filter(|(bit, _)| vector >> bit & 1 == 1)
            .fold(0, |sum, (_, row)| sum ^ row)
    };
    let mut crc = first;
    let mut left = u128::from(second_bytes) * 8;
    while left > 0 {
        if left & 1 == 1 {
            crc = apply(&zero_bit, crc);
        }
        zero_bit = zero_bit.iter().map(|row| apply(&zero_bit, *row)).collect();
        left >>= 1;
    }
    Some(crc ^ second)
}

/// Checksums as the fields of requests and answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
}

impl Fields {
    pub(super) fn of(system: &BTreeMap<String, String>) -> Self {
        let get = |algorithm: Algorithm| system.get(algorithm.header()).cloned();
        Self {
            crc32: get(Algorithm::Crc32),
            crc32c: get(Algorithm::Crc32c),
            crc64nvme: get(Algorithm::Crc64Nvme),
            sha1: get(Algorithm::Sha1),
            sha256: get(Algorithm::Sha256),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Algorithm, &str)> {
        let all = [
            (Algorithm::Crc32, &self.crc32),
            (Algorithm::Crc32c, &self.crc32c),
            (Algorithm::Crc64Nvme, &self.crc64nvme),
            (Algorithm::Sha1, &self.sha1),
            (Algorithm::Sha256, &self.sha256),
        ];
        all.into_iter().filter_map(|(algorithm, value)| Some((algorithm, value.as_deref()?)))
    }

    /// The only one that an object made of parts has.
    pub(super) fn first(&self) -> Option<(Algorithm, String)> {
        self.iter().next().map(|(algorithm, sum)| (algorithm, sum.to_owned()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// Moves the checksum fields into or out of one of the protocol's structures, which all name them
/// alike.
macro_rules! checksum_fields {
    ($from:expr) => {
        $crate::s3::checksums::Fields {
            crc32: $from.checksum_crc32.clone(),
            crc32c: $from.checksum_crc32c.clone(),
            crc64nvme: $from.checksum_crc64nvme.clone(),
            sha1: $from.checksum_sha1.clone(),
            sha256: $from.checksum_sha256.clone(),
        }
    };
    ($fields:expr => $into:expr) => {{
        let fields: $crate::s3::checksums::Fields = $fields;
        $into.checksum_crc32 = fields.crc32;
        $into.checksum_crc32c = fields.crc32c;
        $into.checksum_crc64nvme = fields.crc64nvme;
        $into.checksum_sha1 = fields.sha1;
        $into.checksum_sha256 = fields.sha256;
    }};
}
pub(super) use checksum_fields;

#[cfg(test)]
mod tests {
    use super::*;

    fn base64_of(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut digests = Digests::new([algorithm]);
        digests.update(bytes);
        digests.finish().base64(algorithm).unwrap()
    }

    #[test]
    fn the_crc_of_an_object_follows_from_those_of_its_parts() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * 7 % 251) as u8).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            for cuts in [vec![1], vec![500], vec![999], vec![3, 4, 700]] {
                let mut parts = Vec::new();
                let mut rest = bytes.as_slice();
                for cut in cuts.windows(1).map(|cut| cut[0]) {
                    let (part, tail) = rest.split_at(cut - (bytes.len() - rest.len()));
                    parts.push(part);
                    rest = tail;
                }
                parts.push(rest);
                let sums: Vec<String> =
                    parts.iter().map(|part| base64_of(algorithm, part)).collect();
                let known = sums
                    .iter()
                    .zip(&parts)
                    .map(|(sum, part)| (Some(sum.as_str()), part.len() as u64));
                let found = PartChecksums { algorithm, full: true }.combine(known).unwrap();
                assert_eq!(found, base64_of(algorithm, &bytes), "{algorithm:?} {cuts:?}");
            }
        }
    }

    #[test]
    fn a_composite_checksum_counts_its_parts_and_needs_all_of_them() {
        let plan = PartChecksums { algorithm: Algorithm::Sha256, full: false };
        let (one, two) =
            (base64_of(Algorithm::Sha256, b"one"), base64_of(Algorithm::Sha256, b"two"));
        let both = [BASE64.decode(&one).unwrap(), BASE64.decode(&two).unwrap()].concat();
        let found = plan.combine([(Some(one.as_str()), 3), (Some(two.as_str()), 3)]);
        assert_eq!(found, Some(format!("{}-2", base64_of(Algorithm::Sha256, &both))));
        assert_eq!(plan.combine([(Some(one.as_str()), 3), (None, 3)]), None);
    }

    #[test]
    fn a_trailer_that_was_announced_must_come() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-trailer", "x-amz-checksum-crc32".parse().unwrap());
        let promised = Promised::read(&headers).unwrap();
        assert_eq!(promised.algorithms(), [Algorithm::Crc32]);
        assert!(matches!(promised.complete(None), Err(Fault::BadBody(_))));
    }

    #[test]
    fn trailers_are_those_that_were_announced_and_no_others() {
        let pass = |announced: &'static str, came: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            if !announced.is_empty() {
                headers.insert("x-amz-trailer", announced.parse().unwrap());
            }
            let mut trailers = HeaderMap::new();
            for (name, value) in came {
                trailers.append(*name, value.parse().unwrap());
            }
            let passed = Promised::read(&headers).unwrap().with_trailers(&trailers);
            passed.map(|expected| expected.algorithms().count()).ok()
        };
        let (crc, sha) = ("x-amz-checksum-crc32", "x-amz-checksum-sha1");
        let sum = "AAAAAA==";
        assert_eq!(pass("", &[]), Some(0));
        assert_eq!(pass(crc, &[(crc, sum)]), Some(1));
        assert_eq!(
            pass(
                "x-amz-checksum-crc32, x-amz-checksum-crc32c",
                &[(crc, sum), ("x-amz-checksum-crc32c", sum)]
            ),
            Some(2)
        );
        assert_eq!(pass(crc, &[]), None);
        assert_eq!(pass(crc, &[(crc, sum), (crc, sum)]), None);
        assert_eq!(pass(crc, &[(crc, sum), (sha, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")]), None);
        assert_eq!(pass(crc, &[("x-amz-checksum-crc32c", sum)]), None);
        assert_eq!(pass(crc, &[(crc, sum), ("x-amz-meta-a", "b")]), None);
        assert_eq!(pass("", &[(crc, sum)]), None);
    }

    #[test]
    fn types_fit_their_algorithms() {
        let full = |algorithm, kind| {
            PartChecksums::choose(Some(algorithm), kind).map(|plan| plan.unwrap().full).ok()
        };
        assert_eq!(full("CRC64NVME", None), Some(true));
        assert_eq!(full("CRC32", None), Some(false));
        assert_eq!(full("CRC32C", Some(FULL_OBJECT)), Some(true));
        assert_eq!(full("SHA256", Some(FULL_OBJECT)), None);
        assert_eq!(full("CRC64NVME", Some(COMPOSITE)), None);
        assert_eq!(full("MD5", None), None);
    }
}
