//! The configuration file of the `drystone` command.
//!
//! It is a library inside the command's package for one reason: `fuzz/` links it. It is pure: text
//! in, a checked [`Config`] or a [`ConfigError`] out. `settings.rs` knows which file the text comes
//! from, and which flags override it.
//!
//! Invariants:
//! - a value of type [`Config`] can be used: names, sizes and counts are within their limits;
//! - an error names the line, and also the key, except when the text is not TOML.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use drystone_chunker::Chunking;
use drystone_limits::constants;
use drystone_store::{BucketName, SyncPolicy};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The most worker threads that may be asked for.
pub const WORKERS_MAX: u16 = 64;
/// Clients of a server that may be connected at a time.
pub const CONNECTIONS: RangeInclusive<u16> =
    constants::CONNECTIONS_MIN as u16..=constants::CONNECTIONS_MAX as u16;
/// Bodies that a server sends or receives at a time.
pub const TRANSFERS: RangeInclusive<u16> =
    constants::TRANSFERS_MIN as u16..=constants::TRANSFERS_MAX as u16;
/// How long a server may be told to wait for anything, in seconds.
pub const SECONDS: RangeInclusive<u16> = 1..=3600;

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
    /// `listen`: where a server listens.
    pub listen: Option<SocketAddr>,
    /// `connections`: clients that may be connected at a time.
    pub connections: Option<u16>,
    /// `transfers`: bodies that are sent or received at a time.
    pub transfers: Option<u16>,
    /// `head_seconds`: how long a server waits for the head of a request.
    pub head_seconds: Option<u16>,
    /// `idle_seconds`: how long it waits for the next request on a connection.
    pub idle_seconds: Option<u16>,
    /// `body_seconds`: how long it waits for the next byte of a body.
    pub body_seconds: Option<u16>,
    /// `unread_seconds`: how long it waits until a client reads on.
    pub unread_seconds: Option<u16>,
    /// `turn_seconds`: how long a request waits for its turn before it is refused.
    pub turn_seconds: Option<u16>,
    /// `drain_seconds`: how long requests may go on after the first signal to stop.
    pub drain_seconds: Option<u16>,
}

/// Every key that there is.
const KEYS: [&str; 15] = [
    "store",
    "memory",
    "workers",
    "sync",
    "bucket",
    "chunk",
    "listen",
    "connections",
    "transfers",
    "head_seconds",
    "idle_seconds",
    "body_seconds",
    "unread_seconds",
    "turn_seconds",
    "drain_seconds",
];

/// Why a configuration file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// From 1.
    pub line: usize,
    /// The setting; `None` when the text is not TOML.
    pub key: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

/// An unknown key is shown up to so many characters.
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
    /// When it is not TOML, has an unknown key, or a value that cannot be used. Of several errors,
    /// the first one in the order of the keys is given.
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
            "workers" => self.workers = Some(whole(value, 1..=WORKERS_MAX)?),
            "sync" => self.sync = Some(sync(string(value)?)?),
            "bucket" => self.bucket = Some(parsed(BucketName::new(string(value)?))?),
            "chunk" => self.chunk = Some(parsed(string(value)?.parse::<Chunking>())?),
            "listen" => self.listen = Some(address(string(value)?)?),
            "connections" => self.connections = Some(whole(value, CONNECTIONS)?),
            "transfers" => self.transfers = Some(whole(value, TRANSFERS)?),
            "head_seconds" => self.head_seconds = Some(whole(value, SECONDS)?),
            "idle_seconds" => self.idle_seconds = Some(whole(value, SECONDS)?),
            "body_seconds" => self.body_seconds = Some(whole(value, SECONDS)?),
            "unread_seconds" => self.unread_seconds = Some(whole(value, SECONDS)?),
            "turn_seconds" => self.turn_seconds = Some(whole(value, SECONDS)?),
            "drain_seconds" => self.drain_seconds = Some(whole(value, SECONDS)?),
            _ => {
                return Err(format!(
                    "unknown field `{}`; there are {}",
                    shown(key),
                    KEYS.join(", ")
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

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an address and a port, like \"127.0.0.1:7080\"".to_owned())
}

fn whole(value: &DeValue<'_>, range: RangeInclusive<u16>) -> Result<u16, String> {
    let DeValue::Integer(number) = value else {
        return Err(format!("a whole number is expected, not {}", kind(value)));
    };
    u16::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("must be between {} and {}", range.start(), range.end()))
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
        let text = "# walls\nstore = \"/srv/wall\"\nmemory = '1 GiB'\nworkers = 0x10\n\
                    sync = \"never\"\nbucket = \"stones\"\nchunk = \"cdc:256KiB,1MiB,4MiB\"\n\
                    listen = \"[::1]:80\"\nconnections = 16\ntransfers = 8\nhead_seconds = 1\n\
                    idle_seconds = 2\nbody_seconds = 3\nunread_seconds = 4\nturn_seconds = 5\n\
                    drain_seconds = 3600\n";
        let expected = Config {
            store: Some("/srv/wall".into()),
            memory: Some(1 << 30),
            workers: Some(16),
            sync: Some(SyncPolicy::Never),
            bucket: Some(BucketName::new("stones").expect("a good name")),
            chunk: Some(Chunking::default()),
            listen: Some(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 80))),
            connections: Some(16),
            transfers: Some(8),
            head_seconds: Some(1),
            idle_seconds: Some(2),
            body_seconds: Some(3),
            unread_seconds: Some(4),
            turn_seconds: Some(5),
            drain_seconds: Some(3600),
        };
        assert_eq!(Config::parse(text), Ok(expected));
        let written = |key: &&str| text.contains(&format!("\n{key} = "));
        assert!(KEYS.iter().all(written), "a key that is not read here");
        assert_eq!(Config::parse(""), Ok(Config::default()));
    }

    #[test]
    fn an_error_names_the_line_and_the_key() {
        check_refused(
            "\nstoer = 1",
            "line 2: stoer: unknown field `stoer`; there are store, memory, workers, sync, \
             bucket, chunk, listen, connections, transfers, head_seconds, idle_seconds, \
             body_seconds, unread_seconds, turn_seconds, drain_seconds",
        );
        check_refused("store = 1", "line 1: store: a text in quotes is expected, not an integer");
        check_refused("[store]\nx = 1", "line 1: store: a text in quotes is expected, not a table");
        for workers in ["0", "65", "-1", "65537", "99999999999999999999"] {
            check_refused(
                &format!("\n\nworkers = {workers}"),
                "line 3: workers: must be between 1 and 64",
            );
        }
        for (key, below, above) in
            [("connections", 15, 16_385), ("transfers", 7, 513), ("turn_seconds", 0, 3601)]
        {
            let range = format!("must be between {} and {}", below + 1, above - 1);
            for number in [below, above] {
                check_refused(&format!("{key} = {number}"), &format!("line 1: {key}: {range}"));
            }
        }
        check_refused(
            "listen = \"localhost\"",
            "line 1: listen: must be an address and a port, like \"127.0.0.1:7080\"",
        );
        check_refused("workers = \"2\"", "line 1: workers: a whole number is expected, not a text");
        check_refused("sync = \"sometimes\"", "line 1: sync: must be \"commit\" or \"never\"");
        check_refused(
            "memory = \"18446744073709551616\"",
            "line 1: memory: \"18446744073709551616\" is too large: the largest size is \
             18446744073709551615 bytes",
        );
        check_refused(
            "chunk = \"fixed:0\"",
            "line 1: chunk: fixed chunk size 0 is outside 1..=1073741824 bytes",
        );
    }

    #[test]
    fn what_is_no_toml_names_the_line() {
        for (text, line) in
            [("= = =", 1), ("\n\nsync = ", 3), ("sync = 'never'\nsync = 'never'", 2)]
        {
            let error = Config::parse(text).expect_err(text);
            assert_eq!((error.line, error.key), (line, None), "{}", error.message);
        }
    }
}
