//! The configuration file of the `drystone` command.
//!
//! A library of its own inside the command's package, for one reason: `fuzz/` links it. It is pure: text in, a checked
//! [`Config`] or a [`ConfigError`] out; which file that is, and what flags say instead, is `settings.rs`.
//!
//! Invariants:
//! - a value of type [`Config`] can be used: names, sizes and counts are within their limits;
//! - an error names the line, and the key unless the text is no TOML.

use std::fmt;
use std::path::PathBuf;

use drystone_chunker::Chunking;
use drystone_store::{BucketName, SyncPolicy};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The most worker threads that may be asked for.
pub const WORKERS_MAX: u16 = 64;

/// What the file says; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `store`: the store's folder.
    pub store: Option<PathBuf>,
    /// `memory`: the ceiling, in bytes.
    pub memory: Option<u64>,
    /// `workers`: threads that hash and write, 1 to [`WORKERS_MAX`].
    pub workers: Option<u16>,
    /// `sync`: `commit` or `never`.
    pub sync: Option<SyncPolicy>,
    /// `bucket`: where objects go unless a flag says otherwise.
    pub bucket: Option<BucketName>,
    /// `chunk`: how a new store cuts.
    pub chunk: Option<Chunking>,
}

/// Why a configuration file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// From 1.
    pub line: usize,
    /// The setting; `None` when the text is no TOML.
    pub key: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

/// A key that is none of ours is shown up to so many characters.
const SHOWN_CHARS_MAX: usize = 40;

/// `line 3: workers: must be between 1 and 64`
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Config {
    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// When it is not TOML, has a key that is none of ours, or a value that cannot be used. The first in the order of the
    /// keys is given.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            key: None,
            message: error.message().to_owned(),
        })?;
        let mut config = Self::default();
        for (key, value) in table.get_ref() {
            config.set(key.get_ref(), value).map_err(|message| ConfigError {
                line: line_of(text, key.span().start),
                key: Some(shown(key.get_ref())),
                message,
            })?;
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let value = value.get_ref();
        match key {
            "store" => self.store = Some(string(value)?.into()),
            "memory" => self.memory = Some(parsed(drystone_limits::parse_bytes(string(value)?))?),
            "workers" => self.workers = Some(workers(value)?),
            "sync" => self.sync = Some(sync(string(value)?)?),
            "bucket" => self.bucket = Some(parsed(BucketName::new(string(value)?))?),
            "chunk" => self.chunk = Some(parsed(string(value)?.parse::<Chunking>())?),
            _ => {
                return Err(format!(
                    "unknown field `{}`; there are store, memory, workers, sync, bucket and chunk",
                    shown(key)
                ));
            }
        }
        Ok(())
    }
}

fn parsed<T, E: fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn string<'a>(value: &'a DeValue<'_>) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("a text in quotes is expected, not {}", kind(value)))
}

fn workers(value: &DeValue<'_>) -> Result<u16, String> {
    let DeValue::Integer(number) = value else {
        return Err(format!("a whole number is expected, not {}", kind(value)));
    };
    u16::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|workers| (1..=WORKERS_MAX).contains(workers))
        .ok_or_else(|| format!("must be between 1 and {WORKERS_MAX}"))
}

fn sync(text: &str) -> Result<SyncPolicy, String> {
    match text {
        "commit" => Ok(SyncPolicy::Commit),
        "never" => Ok(SyncPolicy::Never),
        _ => Err("must be \"commit\" or \"never\"".into()),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn shown(key: &str) -> String {
    key.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        assert_eq!(Config::parse(text).expect_err(text).to_string(), expected);
    }

    #[test]
    fn every_setting_is_read() {
        let text = "# walls\nstore = \"/srv/wall\"\nmemory = '1 GiB'\nworkers = 0x10\nsync = \"never\"\n\
            bucket = \"stones\"\nchunk = \"cdc:256KiB,1MiB,4MiB\"\n";
        let expected = Config {
            store: Some("/srv/wall".into()),
            memory: Some(1 << 30),
            workers: Some(16),
            sync: Some(SyncPolicy::Never),
            bucket: Some(BucketName::new("stones").expect("a good name")),
            chunk: Some(Chunking::default()),
        };
        assert_eq!(Config::parse(text), Ok(expected));
        assert_eq!(Config::parse(""), Ok(Config::default()));
    }

    #[test]
    fn an_error_names_the_line_and_the_key() {
        check_refused(
            "\nstoer = 1",
            "line 2: stoer: unknown field `stoer`; there are store, memory, workers, sync, bucket and chunk",
        );
        check_refused("store = 1", "line 1: store: a text in quotes is expected, not an integer");
        check_refused("[store]\nx = 1", "line 1: store: a text in quotes is expected, not a table");
        for workers in ["0", "65", "-1", "65537", "99999999999999999999"] {
            check_refused(&format!("\n\nworkers = {workers}"), "line 3: workers: must be between 1 and 64");
        }
        check_refused("workers = \"2\"", "line 1: workers: a whole number is expected, not a text");
        check_refused("sync = \"sometimes\"", "line 1: sync: must be \"commit\" or \"never\"");
        check_refused(
            "memory = \"18446744073709551616\"",
            "line 1: memory: \"18446744073709551616\" is too large: the largest size is 18446744073709551615 bytes",
        );
        check_refused(
            "chunk = \"fixed:0\"",
            "line 1: chunk: fixed chunk size 0 is outside 1..=1073741824 bytes",
        );
    }

    #[test]
    fn what_is_no_toml_names_the_line() {
        for (text, line) in [("= = =", 1), ("\n\nsync = ", 3), ("sync = 'never'\nsync = 'never'", 2)] {
            let error = Config::parse(text).expect_err(text);
            assert_eq!((error.line, error.key), (line, None), "{}", error.message);
        }
    }
}
