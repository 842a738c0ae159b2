//! Checksums of a body, computed as it passes and compared at its end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use subtle::ConstantTimeEq as _;

use drystone_edge::checksums::Checksums;
use drystone_edge::fault::Fault;
use drystone_edge::upload;

/// A body whose checksums are these, on its way in.
pub(crate) type Upload = upload::Upload<Digests>;
/// One that is stored.
pub(crate) type Uploaded = upload::Uploaded<Digests>;
/// Says what such a body becomes.
pub(crate) type Aim = upload::Aim<Digests>;

/// A checksum algorithm of the S3 protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Md5,
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 6] =
        [Self::Md5, Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As in `x-amz-checksum-…`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// The header or trailer that carries it.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Md5 => "content-md5",
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// From `x-amz-sdk-checksum-algorithm`, a trailer's name or the like; any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text || algorithm.header() == text)
    }

    fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// What a client says the checksums are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected(Vec<(Algorithm, Vec<u8>)>);

impl Expected {
    /// Those of these algorithms that stand in headers.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(crate) fn read(
        headers: &http::HeaderMap,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Self, Fault> {
        let mut expected = Self::default();
        for algorithm in algorithms {
            if let Some(value) = headers.get(algorithm.header()) {
                expected.add(
                    algorithm,
                    value.to_str().map_err(|_| Fault::InvalidDigest(algorithm.name()))?,
                )?;
            }
        }
        Ok(expected)
    }

    /// Adds a checksum in base64.
    ///
    /// # Errors
    /// [`Fault::InvalidDigest`] when it is not base64 of the right length.
    pub(crate) fn add(&mut self, algorithm: Algorithm, base64: &str) -> Result<(), Fault> {
        let bytes =
            BASE64.decode(base64.trim()).ok().filter(|bytes| bytes.len() == algorithm.bytes());
        self.0.push((algorithm, bytes.ok_or(Fault::InvalidDigest(algorithm.name()))?));
        Ok(())
    }

    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.0.iter().map(|(algorithm, _)| *algorithm)
    }
}

enum Hasher {
    Md5(Md5),
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Box<Sha256>),
}

/// Checksums under way.
#[derive(Default)]
pub(crate) struct Digests(Vec<(Algorithm, Hasher)>);

impl Digests {
    /// Computes these; each once.
    pub(crate) fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut wanted: Vec<Algorithm> = algorithms.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let hasher = |algorithm| match algorithm {
            Algorithm::Md5 => Hasher::Md5(Md5::new()),
            Algorithm::Crc32 => Hasher::Crc32(Crc32::new()),
            Algorithm::Crc32c => Hasher::Crc32c(Crc32c::new()),
            Algorithm::Crc64Nvme => Hasher::Crc64Nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Hasher::Sha1(Sha1::new()),
            Algorithm::Sha256 => Hasher::Sha256(Box::new(Sha256::new())),
        };
        Self(wanted.into_iter().map(|algorithm| (algorithm, hasher(algorithm))).collect())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for (_, hasher) in &mut self.0 {
            match hasher {
                Hasher::Md5(hasher) => hasher.update(bytes),
                Hasher::Crc32(hasher) => hasher.update(bytes),
                Hasher::Crc32c(hasher) => hasher.update(bytes),
                Hasher::Crc64Nvme(hasher) => hasher.update(bytes),
                Hasher::Sha1(hasher) => hasher.update(bytes),
                Hasher::Sha256(hasher) => hasher.update(bytes),
            }
        }
    }

    pub(crate) fn finish(self) -> Digested {
        let finish = |hasher: Hasher| match hasher {
            Hasher::Md5(hasher) => hasher.finalize().to_vec(),
            Hasher::Crc32(hasher) => hasher.finalize().to_vec(),
            Hasher::Crc32c(hasher) => hasher.finalize().to_vec(),
            Hasher::Crc64Nvme(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha1(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha256(hasher) => hasher.finalize().to_vec(),
        };
        Digested(
            self.0.into_iter().map(|(algorithm, hasher)| (algorithm, finish(hasher))).collect(),
        )
    }
}

impl Checksums for Digests {
    type Expected = Expected;
    type Computed = Digested;

    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }

    fn finish(self, expected: &Expected) -> Result<Digested, Fault> {
        let digested = Self::finish(self);
        digested.check(expected)?;
        Ok(digested)
    }
}

/// Checksums of a whole body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digested(Vec<(Algorithm, Vec<u8>)>);

impl Digested {
    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.0.iter().find(|(found, _)| *found == algorithm).map(|(_, bytes)| bytes.as_slice())
    }

    pub(crate) fn base64(&self, algorithm: Algorithm) -> Option<String> {
        self.get(algorithm).map(|bytes| BASE64.encode(bytes))
    }

    pub(crate) fn hex(&self, algorithm: Algorithm) -> Option<String> {
        self.get(algorithm).map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Compares with what was promised.
    ///
    /// # Errors
    /// [`Fault::BadDigest`]; also for one that was promised and not computed.
    pub(crate) fn check(&self, expected: &Expected) -> Result<(), Fault> {
        for (algorithm, bytes) in &expected.0 {
            let same = self.get(*algorithm).is_some_and(|found| bool::from(found.ct_eq(bytes)));
            if !same {
                return Err(Fault::BadDigest(algorithm.name()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_knows_its_check_value() {
        // Published check values: the CRCs of "123456789", the RFCs' vectors for the others.
        let mut digests = Digests::new(Algorithm::ALL);
        digests.update(b"1234");
        digests.update(b"56789");
        let found = digests.finish();
        let expect = |algorithm, hex: &str| assert_eq!(found.hex(algorithm).as_deref(), Some(hex));
        expect(Algorithm::Crc32, "cbf43926");
        expect(Algorithm::Crc32c, "e3069283");
        expect(Algorithm::Crc64Nvme, "ae8b14860a799888");
        expect(Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b");
        expect(Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        expect(
            Algorithm::Sha256,
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        );
    }

    #[test]
    fn a_wrong_a_malformed_and_an_uncomputed_digest_are_refused() {
        let mut digests = Digests::new([Algorithm::Crc32]);
        digests.update(b"123456789");
        let found = digests.finish();
        let mut right = Expected::default();
        right.add(Algorithm::Crc32, " y/Q5Jg== ").unwrap();
        found.check(&right).unwrap();
        let mut wrong = Expected::default();
        wrong.add(Algorithm::Crc32, "AAAAAA==").unwrap();
        assert!(matches!(found.check(&wrong), Err(Fault::BadDigest("crc32"))));
        let mut uncomputed = Expected::default();
        uncomputed.add(Algorithm::Md5, "AAAAAAAAAAAAAAAAAAAAAA==").unwrap();
        assert!(matches!(found.check(&uncomputed), Err(Fault::BadDigest("md5"))));
        for bad in ["", "AAAA", "!", "AAAAAAAAAAA="] {
            assert!(matches!(
                Expected::default().add(Algorithm::Crc32, bad),
                Err(Fault::InvalidDigest(_))
            ));
        }
    }

    #[test]
    fn algorithms_are_found_by_any_of_their_names() {
        assert_eq!(Algorithm::parse("CRC64NVME"), Some(Algorithm::Crc64Nvme));
        assert_eq!(Algorithm::parse(" x-amz-checksum-sha256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::parse("crc99"), None);
    }
}
