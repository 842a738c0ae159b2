//! Settings from flags, environment and one TOML file: the first that says something wins.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use drystone_chunker::Chunking;
use drystone_config::Config;
use drystone_store::{BucketName, SyncPolicy};

use crate::args::{BucketArg, Global, Sync};
use crate::exit::Usage;
use crate::home;

pub(crate) const BUCKET_DEFAULT: &str = "default";
/// A settings file has about a dozen lines.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a command runs with, before the plan.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) store: Option<PathBuf>,
    pub(crate) memory: Option<u64>,
    pub(crate) workers: Option<usize>,
    pub(crate) sync: SyncPolicy,
    pub(crate) chunk: Option<Chunking>,
    bucket: Option<BucketName>,
    /// What the file says.
    pub(crate) file: Config,
    /// What flags and variables say. A file does not change that.
    pub(crate) flags: Flags,
    pub(crate) source: ConfigPath,
}

/// The part of the command line and the environment that a file can also set.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    pub(crate) store: Option<PathBuf>,
    pub(crate) memory: Option<u64>,
    pub(crate) workers: Option<u16>,
    pub(crate) sync: Option<SyncPolicy>,
}

/// Where the file is.
#[derive(Clone, Debug)]
pub(crate) struct ConfigPath {
    /// `None` when there is no home to look in.
    path: Option<PathBuf>,
    /// The user named the file, so it must exist.
    asked_for: bool,
}

impl Settings {
    pub(crate) fn resolve(global: &Global) -> anyhow::Result<Self> {
        let sync = global.sync.map(|sync| match sync {
            Sync::Commit => SyncPolicy::Commit,
            Sync::Never => SyncPolicy::Never,
        });
        let (store, memory, workers) = (global.store.clone(), global.memory, global.workers);
        let source = ConfigPath::of(global);
        let file = source.read()?;
        Ok(Self::of(Flags { store, memory, workers, sync }, file, source))
    }

    fn of(flags: Flags, file: Config, source: ConfigPath) -> Self {
        Self {
            store: flags.store.clone().or_else(|| file.store.clone()),
            memory: flags.memory.or(file.memory),
            workers: flags.workers.or(file.workers).map(usize::from),
            sync: flags.sync.or(file.sync).unwrap_or(SyncPolicy::Commit),
            chunk: file.chunk,
            bucket: file.bucket.clone(),
            file,
            flags,
            source,
        }
    }

    /// The same flags and variables with another file.
    pub(crate) fn with_file(&self, file: Config) -> Self {
        Self::of(self.flags.clone(), file, self.source.clone())
    }

    /// The same with a folder that was named as an argument.
    pub(crate) fn with_store(&self, folder: Option<&PathBuf>) -> Self {
        let mut flags = self.flags.clone();
        flags.store = folder.cloned().or(flags.store);
        Self::of(flags, self.file.clone(), self.source.clone())
    }

    pub(crate) fn bucket(&self, arg: &BucketArg) -> anyhow::Result<BucketName> {
        let name = match (&arg.bucket, &self.bucket) {
            (Some(name), _) => BucketName::new(name),
            (None, Some(bucket)) => Ok(bucket.clone()),
            (None, None) => BucketName::new(BUCKET_DEFAULT),
        };
        Ok(name.map_err(drystone_store::StoreError::Name)?)
    }

    pub(crate) fn store(&self) -> anyhow::Result<&PathBuf> {
        self.store.as_ref().ok_or_else(|| {
            let told = "no store given: use --store DIR, set DRYSTONE_STORE, or write \
                        `store = \"DIR\"` into the configuration file";
            Usage(told.into()).into()
        })
    }
}

impl ConfigPath {
    fn of(global: &Global) -> Self {
        match &global.config {
            Some(path) => Self { path: Some(path.clone()), asked_for: true },
            None => Self { path: default_path(), asked_for: false },
        }
    }

    /// Reads the file as it is now. Gives an empty configuration if there is no file and the user
    /// named none.
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        let Some(path) = &self.path else { return Ok(Config::default()) };
        let mut text = String::new();
        // Reads at most this much, and does not trust the file's length: a device has no length and
        // no end.
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
        match read {
            Ok(len) if len as u64 > FILE_BYTES_MAX => {
                return Err(Usage(format!(
                    "{} is not a settings file: it is too large",
                    path.display()
                ))
                .into());
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.asked_for => {
                return Ok(Config::default());
            }
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        }
        let refused = |error: &dyn std::fmt::Display| Usage(format!("{}: {error}", path.display()));
        let mut config = Config::parse(&text).map_err(|error| refused(&error))?;
        if let Some(store) = &mut config.store {
            *store =
                home::expand(store).map_err(|error| refused(&format_args!("store: {error}")))?;
        }
        Ok(config)
    }
}

fn default_path() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(base.join("drystone").join("config.toml"))
}
