//! How a store cuts: the cutter's name and its sizes.

use std::fmt;
use std::str::FromStr;

/// The largest chunk any cutter may make: a chunk has to fit into one buffer.
const CHUNK_BYTES_MAX: u32 = 1 << 30;
/// Below this FastCDC's masks are no longer meaningful (the fastcdc crate's own bound for the
/// average).
const CDC_AVG_MIN: u32 = 256;
/// The largest average for which the mask table has an entry.
const CDC_AVG_MAX: u32 = 4 << 20;
/// A resumed scan warms up over 64 bytes behind the minimum; see `cutter`.
const CDC_MIN_MIN: u32 = 64;

/// A cutter and its sizes in bytes. Checked: a value of this type can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunking {
    /// Every chunk has this many bytes, the last one perhaps fewer.
    Fixed(u32),
    /// FastCDC (2020, normalisation level 1, the crate's default gear table).
    FastCdc {
        /// No chunk but the last is smaller.
        min: u32,
        /// The size that cutting aims at.
        avg: u32,
        /// No chunk is larger.
        max: u32,
    },
}

/// Why a chunking was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// Not one of the textual forms.
    #[error(
        "`{0}` is not a chunking: write fixed:SIZE or cdc:MIN,AVG,MAX, for example \
         cdc:256KiB,1MiB,4MiB"
    )]
    Syntax(String),
    /// A size outside what the cutter supports.
    #[error("{what} chunk size {found} is outside {low}..={high} bytes")]
    Range {
        /// Which size.
        what: &'static str,
        /// The size found, in bytes.
        found: u64,
        /// The smallest allowed, in bytes.
        low: u32,
        /// The largest allowed, in bytes.
        high: u32,
    },
    /// Minimum, average and maximum are not in ascending order.
    #[error("chunk sizes must ascend: minimum {min} < average {avg} < maximum {max}")]
    Order {
        /// Minimum, in bytes.
        min: u32,
        /// Average, in bytes.
        avg: u32,
        /// Maximum, in bytes.
        max: u32,
    },
}

impl Default for Chunking {
    fn default() -> Self {
        Self::FastCdc { min: 256 << 10, avg: 1 << 20, max: 4 << 20 }
    }
}

impl Chunking {
    /// Fixed-size chunks of `bytes`.
    ///
    /// # Errors
    /// When `bytes` is 0 or above 1 GiB.
    pub fn fixed(bytes: u64) -> Result<Self, ParamsError> {
        Ok(Self::Fixed(in_range("fixed", bytes, 1, CHUNK_BYTES_MAX)?))
    }

    /// Content-defined chunks.
    ///
    /// # Errors
    /// When a size is out of range or they do not ascend.
    pub fn fast_cdc(min: u64, avg: u64, max: u64) -> Result<Self, ParamsError> {
        let min = in_range("minimum", min, CDC_MIN_MIN, CDC_AVG_MAX)?;
        let avg = in_range("average", avg, CDC_AVG_MIN, CDC_AVG_MAX)?;
        let max = in_range("maximum", max, CDC_AVG_MIN, CHUNK_BYTES_MAX)?;
        if min < avg && avg < max {
            Ok(Self::FastCdc { min, avg, max })
        } else {
            Err(ParamsError::Order { min, avg, max })
        }
    }

    /// The largest chunk that can come out, in bytes.
    pub fn chunk_bytes_max(&self) -> usize {
        match *self {
            Self::Fixed(bytes) => bytes as usize,
            Self::FastCdc { max, .. } => max as usize,
        }
    }
}

fn in_range(what: &'static str, found: u64, low: u32, high: u32) -> Result<u32, ParamsError> {
    u32::try_from(found).ok().filter(|size| (low..=high).contains(size)).ok_or(ParamsError::Range {
        what,
        found,
        low,
        high,
    })
}

/// The canonical form, sizes in bytes: `fixed:10485760`, `fastcdc-2020:262144,1048576,4194304`.
impl fmt::Display for Chunking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "fixed:{bytes}"),
            Self::FastCdc { min, avg, max } => write!(f, "fastcdc-2020:{min},{avg},{max}"),
        }
    }
}

/// The canonical form, and for people `cdc:` and the suffixes KiB, MiB, GiB.
impl FromStr for Chunking {
    type Err = ParamsError;

    fn from_str(text: &str) -> Result<Self, ParamsError> {
        let syntax = || ParamsError::Syntax(text.to_owned());
        let (cutter, sizes) = text.split_once(':').ok_or_else(syntax)?;
        let sizes: Vec<u64> =
            sizes.split(',').take(4).map(parse_size).collect::<Option<_>>().ok_or_else(syntax)?;
        match (cutter, sizes.as_slice()) {
            ("fixed", [bytes]) => Self::fixed(*bytes),
            ("cdc" | "fastcdc-2020", [min, avg, max]) => Self::fast_cdc(*min, *avg, *max),
            _ => Err(syntax()),
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" | "K" | "k" => 10,
        "MiB" | "M" | "m" => 20,
        "GiB" | "G" | "g" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = text.parse::<Chunking>().map(|c| c.to_string()).map_err(|e| e.to_string());
        assert_eq!(parsed.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn chunkings_parse() {
        check("fixed:10MiB", Ok("fixed:10485760"));
        check("cdc:256KiB,1MiB,4MiB", Ok("fastcdc-2020:262144,1048576,4194304"));
        check("fastcdc-2020:64,256,512", Ok("fastcdc-2020:64,256,512"));
        check("fixed:0", Err("fixed chunk size 0 is outside 1..=1073741824 bytes"));
        check(
            "cdc:1MiB,1MiB,4MiB",
            Err("chunk sizes must ascend: minimum 1048576 < average 1048576 < maximum 4194304"),
        );
        check("cdc:63,256,512", Err("minimum chunk size 63 is outside 64..=4194304 bytes"));
        let hint = |t: &str| {
            format!(
                "`{t}` is not a chunking: write fixed:SIZE or cdc:MIN,AVG,MAX, for example \
                 cdc:256KiB,1MiB,4MiB"
            )
        };
        for bad in [
            "",
            "fixed",
            "fixed:",
            "fixed:-1",
            "fixed:1,2",
            "cdc:1,2",
            "fixed:99999999999999999999",
            "zip:3",
            "fixed:1TiB",
            "fixed:18446744073709551615KiB",
        ] {
            check(bad, Err(&hint(bad)));
        }
    }

    /// Each bound, the number on either side of it, and the units.
    #[test]
    fn sizes_have_bounds() {
        const GIB: u64 = 1 << 30;
        assert_eq!(Chunking::fixed(1).map(|c| c.chunk_bytes_max()), Ok(1));
        assert_eq!(Chunking::fixed(GIB).map(|c| c.chunk_bytes_max()), Ok(1 << 30));
        assert!(Chunking::fixed(GIB + 1).is_err());
        let sizes = |min, avg, max| Chunking::fast_cdc(min, avg, max).is_ok();
        assert!(sizes(64, 256, 257) && !sizes(63, 256, 257) && !sizes(64, 255, 257));
        assert!(!sizes(64, 256, 256) && !sizes(256, 256, 257) && !sizes(257, 256, 258));
        let avg_max = 4 << 20;
        assert!(sizes(avg_max - 1, avg_max, GIB) && !sizes(avg_max, avg_max + 1, GIB));
        assert!(!sizes(64, 256, GIB + 1) && !sizes(64, 256, u64::MAX));
        check("fixed:1GiB", Ok("fixed:1073741824"));
        check("fixed:1G", Ok("fixed:1073741824"));
        check("fixed: 7 M ", Ok("fixed:7340032"));
        check("fixed:3K", Ok("fixed:3072"));
        check("fixed:9B", Ok("fixed:9"));
        check("cdc:64k,256k,1m", Ok("fastcdc-2020:65536,262144,1048576"));
    }

    #[test]
    fn the_default_reads_back() {
        let default = Chunking::default();
        assert_eq!(default.to_string().parse(), Ok(default));
    }
}
