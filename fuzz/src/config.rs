//! The command's configuration file.
//!
//! Not in testkit, which may not know the command; `crates/cli/tests/config_corpus.rs` includes
//! this file and replays the committed inputs.

use std::fmt::Write as _;

use arbitrary::{Arbitrary, Unstructured};
use drystone_chunker::Chunking;
use drystone_config::{CONNECTIONS, Config, ConfigError, SECONDS, TRANSFERS, WORKERS_MAX};
use drystone_store::SyncPolicy;

/// A file that is well-formed, with values of which it is known what they must become.
#[derive(Debug, Arbitrary)]
struct ConfigInput {
    /// Lines in front of the setting.
    comments: u8,
    setting: Setting,
}

#[derive(Debug, Arbitrary)]
enum Setting {
    Memory(Number, Unit),
    Workers(i128),
    Fixed(Number, Unit),
    Content([(Number, Unit); 3]),
}

/// Of any length, so that the edge of 64 bits is met.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Number {
    number: u128,
    shift: u8,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Unit {
    None,
    Kibi,
    Mebi,
    Gibi,
}

/// Any text is a configuration that reads back from its printed form, or an error with a line and a
/// key; a size becomes exactly what was written, or an error.
///
/// # Panics
/// When that does not hold.
pub fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        match Config::parse(text) {
            Ok(config) => check_reads_back(&config),
            Err(error) => check_error(text, &error),
        }
    }
    if let Ok(input) = ConfigInput::arbitrary(&mut Unstructured::new(data)) {
        input.check();
    }
}

fn check_reads_back(config: &Config) {
    let text = printed(config);
    assert_eq!(Config::parse(&text).as_ref(), Ok(config), "{text}");
}

fn check_error(text: &str, error: &ConfigError) {
    let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
    assert!((1..=lines).contains(&error.line), "{error}: the text has {lines} lines");
    assert!(!error.message.is_empty());
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("line {}: ", error.line)), "{shown}");
    // Without a key it must be the text that is no TOML.
    let is_toml = toml::de::DeTable::parse(text).is_ok();
    assert_eq!(error.key.is_some(), is_toml, "{error}");
    assert!(error.key.as_ref().is_none_or(|key| shown.contains(key)), "{shown}");
}

/// As the documentation says that a configuration is written; on purpose without the parser's own
/// tables.
fn printed(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        writeln!(text, "{key} = {value}").expect("a string takes everything");
    };
    if let Some(store) = &config.store {
        line("store", quoted(store.to_str().expect("TOML is UTF-8")));
    }
    if let Some(bytes) = config.memory {
        line("memory", quoted(&bytes.to_string()));
    }
    if let Some(workers) = config.workers {
        assert!((1..=WORKERS_MAX).contains(&workers), "{workers} workers");
        line("workers", workers.to_string());
    }
    if let Some(sync) = config.sync {
        let word = match sync {
            SyncPolicy::Commit => "commit",
            SyncPolicy::Never => "never",
        };
        line("sync", quoted(word));
    }
    if let Some(bucket) = &config.bucket {
        line("bucket", quoted(bucket.as_str()));
    }
    if let Some(chunking) = &config.chunk {
        line("chunk", quoted(&chunking.to_string()));
    }
    if let Some(address) = config.listen {
        line("listen", quoted(&address.to_string()));
    }
    let numbers = [
        ("connections", config.connections, CONNECTIONS),
        ("transfers", config.transfers, TRANSFERS),
        ("head_seconds", config.head_seconds, SECONDS),
        ("idle_seconds", config.idle_seconds, SECONDS),
        ("body_seconds", config.body_seconds, SECONDS),
        ("unread_seconds", config.unread_seconds, SECONDS),
        ("turn_seconds", config.turn_seconds, SECONDS),
        ("drain_seconds", config.drain_seconds, SECONDS),
    ];
    for (key, number, range) in numbers {
        if let Some(number) = number {
            assert!(range.contains(&number), "{key} = {number}");
            line(key, number.to_string());
        }
    }
    text
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(character))
                    .expect("a string takes everything");
            }
            character => quoted.push(character),
        }
    }
    quoted + "\""
}

impl Number {
    fn get(self) -> u128 {
        self.number >> (self.shift % 128)
    }
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Kibi => "KiB",
            Self::Mebi => "MiB",
            Self::Gibi => "GiB",
        }
    }

    /// `None` when 64 bits do not hold it.
    fn bytes(self, number: Number) -> Option<u64> {
        let shift = match self {
            Self::None => 0,
            Self::Kibi => 10,
            Self::Mebi => 20,
            Self::Gibi => 30,
        };
        number.get().checked_mul(1 << shift).and_then(|bytes| u64::try_from(bytes).ok())
    }
}

impl ConfigInput {
    fn check(&self) {
        let (key, value) = self.setting.written();
        let lines_before = usize::from(self.comments % 8);
        let text = format!("{}{key} = {value}\n", "# a wall\n".repeat(lines_before));
        match (Config::parse(&text), self.setting.expected()) {
            (Ok(found), Some(expected)) => {
                assert_eq!(found, expected, "{text}");
                check_reads_back(&found);
            }
            (Err(error), None) => {
                check_error(&text, &error);
                assert_eq!(error.line, lines_before + 1, "{text}: {error}");
                // A number that is too long for TOML itself has no key yet.
                assert!(error.key.as_deref().is_none_or(|found| found == key), "{text}: {error}");
            }
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }
}

impl Setting {
    fn written(&self) -> (&'static str, String) {
        let size = |(number, unit): (Number, Unit)| format!("{}{}", number.get(), unit.word());
        match self {
            Self::Memory(number, unit) => ("memory", quoted(&size((*number, *unit)))),
            Self::Workers(workers) => ("workers", workers.to_string()),
            Self::Fixed(number, unit) => {
                ("chunk", quoted(&format!("fixed:{}", size((*number, *unit)))))
            }
            Self::Content(sizes) => {
                ("chunk", quoted(&format!("cdc:{}", sizes.map(size).join(","))))
            }
        }
    }

    /// `None` when it must be refused.
    fn expected(&self) -> Option<Config> {
        let mut config = Config::default();
        match self {
            Self::Memory(number, unit) => config.memory = Some(unit.bytes(*number)?),
            Self::Workers(workers) => {
                let workers =
                    u16::try_from(*workers).ok().filter(|most| (1..=WORKERS_MAX).contains(most))?;
                config.workers = Some(workers);
            }
            Self::Fixed(number, unit) => {
                config.chunk = Some(Chunking::fixed(unit.bytes(*number)?).ok()?);
            }
            Self::Content(sizes) => {
                let [min, avg, max] = sizes.map(|(number, unit)| unit.bytes(number));
                config.chunk = Some(Chunking::fast_cdc(min?, avg?, max?).ok()?);
            }
        }
        Some(config)
    }
}
