//! Names of buckets and objects, checked once, at the edge.

use std::fmt;
use std::str::FromStr;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A key is empty.
    #[error("a key must not be empty")]
    Empty,
    /// A key is too long.
    #[error("a key has at most {max} bytes, this one has {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A key holds a NUL byte.
    #[error("a key must not contain a NUL byte (at byte {at})")]
    Nul {
        /// Where.
        at: usize,
    },
    /// A key has a path segment that would climb or stand still.
    #[error("a key must not have `.` or `..` between its slashes")]
    DotSegment,
    /// Not a bucket's name.
    #[error(
        "`{0}` is not a bucket name: 3 to 63 of a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit"
    )]
    Bucket(String),
    /// A bucket's name that none is made with any more.
    #[error("no bucket can be made with the name `{name}`: S3 {why}; choose another name")]
    BucketReserved {
        /// The name.
        name: String,
        /// What S3 does with it.
        why: &'static str,
    },
}

/// The name of an object in its bucket: 1 to 1024 bytes of UTF-8 without NUL, and without `.` and
/// `..` as segments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The longest key, in bytes; as in S3.
    pub const BYTES_MAX: usize = 1024;

    /// Checks a key.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(NameError::TooLong { found: text.len(), max: Self::BYTES_MAX });
        }
        if let Some(at) = text.bytes().position(|byte| byte == 0) {
            return Err(NameError::Nul { at });
        }
        if text.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(NameError::DotSegment);
        }
        Ok(Self(text))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A newline or an escape sequence in a name must not forge lines in a terminal or a log.
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// Beginnings and ends of names that S3 keeps for itself.
const RESERVED_BEGINNINGS: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_ENDS: [&str; 5] = ["-s3alias", "--ols-s3", ".mrap", "--x-s3", "--table-s3"];

/// The name that a bucket may have; S3's rules, but for those of
/// [`is_for_a_new_one`](Self::is_for_a_new_one).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(String);

impl BucketName {
    /// Checks a bucket's name.
    ///
    /// # Errors
    /// [`NameError::Bucket`].
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let alnum =
            |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let valid = (3..=63).contains(&text.len())
            && text.bytes().all(|b| alnum(Some(b)) || b == b'-' || b == b'.')
            && alnum(text.bytes().next())
            && alnum(text.bytes().last())
            && !text.contains("..");
        if valid {
            Ok(Self(text))
        } else {
            Err(NameError::Bucket(text.escape_default().to_string()))
        }
    }

    /// Whether a bucket may be made with this name: S3 refuses some that are well-formed, and its
    /// clients cannot reach such a bucket. One that is there already keeps its name, so that it can
    /// be read and removed.
    ///
    /// The rules: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.
    ///
    /// # Errors
    /// [`NameError::BucketReserved`].
    pub fn is_for_a_new_one(&self) -> Result<(), NameError> {
        let text = self.0.as_str();
        let is_number =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let why = if text.split('.').count() == 4 && text.split('.').all(is_number) {
            "takes it for an address"
        } else if RESERVED_BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
            "keeps names that begin so for itself"
        } else if RESERVED_ENDS.iter().any(|end| text.ends_with(end)) {
            "keeps names that end so for itself"
        } else {
            return Ok(());
        };
        Err(NameError::BucketReserved { name: text.to_owned(), why })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_key(text: &str, expected: Result<(), NameError>) {
        let found = Key::new(text).map(|_| ());
        assert!(found == expected, "{text:?}: {found:?}");
        drop(expected);
    }

    #[test]
    fn keys_are_checked_at_their_bounds() {
        check_key("a", Ok(()));
        check_key("a//b/ \n…", Ok(()));
        check_key("..a/b..", Ok(()));
        check_key("", Err(NameError::Empty));
        check_key("a\0", Err(NameError::Nul { at: 1 }));
        for climbing in ["..", "../x", "a/../b", "a/.", "./a"] {
            check_key(climbing, Err(NameError::DotSegment));
        }
        check_key(&"k".repeat(1024), Ok(()));
        check_key(&"k".repeat(1025), Err(NameError::TooLong { found: 1025, max: 1024 }));
        assert_eq!(Key::new("a\nb").unwrap().to_string(), "a\\nb");
    }

    #[test]
    fn bucket_names_are_checked() {
        for good in ["abc", "a-1", "a.b.c", &"b".repeat(63)] {
            assert!(BucketName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "Abc", "-ab", "ab-", "a..b", "a_b", "_", &"b".repeat(64)] {
            assert!(BucketName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_s3_keeps_for_itself_are_for_no_new_bucket() {
        let new = |text: &str| BucketName::new(text).expect("well-formed").is_for_a_new_one();
        for good in [
            "abc",
            "192.168.1",
            "1.2.3.4.5",
            "192.168.1.x",
            "a-xn--b",
            "mrap",
            "s3alias",
            "my-amzn-s3",
        ] {
            assert_eq!(new(good), Ok(()), "{good}");
        }
        for bad in [
            "192.168.1.1",
            "999.1.2.03",
            "xn--abc",
            "sthree-a",
            "sthree-configurator",
            "amzn-s3-demo-bucket",
            "a-s3alias",
            "a--ols-s3",
            "a.mrap",
            "a--use1-az4--x-s3",
            "a--table-s3",
        ] {
            let refused = new(bad).expect_err("it is refused");
            assert!(refused.to_string().contains(bad), "{refused}");
        }
    }
}
