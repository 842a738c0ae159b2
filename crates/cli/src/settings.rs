//! Settings from flags, environment and one TOML file: the first that says something wins.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use drystone_chunker::Chunking;
use drystone_config::Config;
use drystone_store::{BucketName, SyncPolicy};

use crate::args::{BucketArg, Global, Sync};
use crate::exit::Usage;

pub(crate) const BUCKET_DEFAULT: &str = "default";
/// A settings file has a dozen lines.
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
}

impl Settings {
    pub(crate) fn resolve(global: &Global) -> anyhow::Result<Self> {
        let file = read(global)?;
        let asked = global.sync.map(|sync| match sync {
            Sync::Commit => SyncPolicy::Commit,
            Sync::Never => SyncPolicy::Never,
        });
        Ok(Self {
            store: global.store.clone().or(file.store),
            memory: global.memory.or(file.memory),
            workers: global.workers.or(file.workers).map(usize::from),
            sync: asked.or(file.sync).unwrap_or(SyncPolicy::Commit),
            chunk: file.chunk,
            bucket: file.bucket,
        })
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
            Usage("no store given: use --store DIR, set DRYSTONE_STORE, or write `store = \"DIR\"` into the configuration file".into()).into()
        })
    }
}

fn read(global: &Global) -> anyhow::Result<Config> {
    let (path, asked_for) = match &global.config {
        Some(path) => (path.clone(), true),
        None => match default_path() {
            Some(path) => (path, false),
            None => return Ok(Config::default()),
        },
    };
    let mut text = String::new();
    // Not more than that, whatever its length is said to be: a device has none and no end.
    let read =
        std::fs::File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(len) if len as u64 > FILE_BYTES_MAX => {
            return Err(Usage(format!("{} is not a settings file: it is too large", path.display())).into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => {
            return Ok(Config::default());
        }
        Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
    }
    Config::parse(&text).map_err(|error| Usage(format!("{}: {error}", path.display())).into())
}

fn default_path() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(base.join("drystone").join("config.toml"))
}
