//! `drystone.toml`: what a store was made with and can never change.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use drystone_chunker::Chunking;
use serde::{Deserialize, Serialize};

use crate::plain_file;
use crate::{connection, records_path, schema, segments_path};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

pub(crate) const FILE: &str = "drystone.toml";
const HASH: &str = "blake3-256";
/// Far more than the file ever has. The store has not written a longer one.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Why a store could not be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store.
    #[error("{} is not a drystone store: it has no drystone.toml; make one with `drystone --store {} init`", .0.display(), .0.display())]
    NotAStore(PathBuf),
    /// There is a store already.
    #[error("{} is a drystone store already", .0.display())]
    Exists(PathBuf),
    /// The folder holds something else.
    #[error("{} is not empty and not a drystone store; choose an empty or new folder", .0.display())]
    NotEmpty(PathBuf),
    /// The store was made by a later version.
    #[error(
        "the store has format {found}, this drystone reads up to {FORMAT_VERSION}: use a newer drystone"
    )]
    NewerFormat {
        /// The store's format.
        found: u64,
    },
    /// A later version has changed the database's tables.
    #[error(
        "the records of the store have version {found}, this drystone knows them up to {}: use a newer drystone",
        schema::VERSION
    )]
    NewerRecords {
        /// The version of the tables.
        found: u64,
    },
    /// `drystone.toml` does not say what it must.
    #[error("{}: {detail}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The database is gone.
    #[error("{} is missing: without it the segments cannot be read; put a backup of it back", .0.display())]
    NoRecords(PathBuf),
    /// The database is not one of ours or is damaged.
    #[error("{} is damaged or not a drystone database ({detail}); the segments are untouched, put a backup of it back", .path.display())]
    DamagedRecords {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
}

/// For `map_err`: an operation on a path failed.
pub(crate) fn failed<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { what, path: path.to_owned(), source }
}

#[derive(Serialize, Deserialize)]
struct Described {
    format: u64,
    hash: String,
    chunking: String,
}

pub(crate) fn init(folder: &Path, chunking: Chunking) -> Result<(), OpenError> {
    let file = folder.join(FILE);
    // The folders that have to be made, and the one that they are made in: each must keep its new
    // name.
    let mut named_in: Vec<&Path> = Vec::new();
    for ancestor in folder.ancestors().skip(1) {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        named_in.push(ancestor);
        if ancestor.exists() {
            break;
        }
    }
    let sync = |dir: &Path| {
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(failed("sync", dir))
    };
    if file.exists() {
        // The process that made it may have been killed before its name was durable. The store
        // exists even if the folder cannot be synced.
        let _ = sync(folder);
        return Err(OpenError::Exists(folder.to_owned()));
    }
    let is_new = !folder.exists();
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    plain_file::close_to_others(folder);
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        // This `init` finishes what a killed one leaves behind.
        let name = entry.map_err(failed("list", folder))?.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with("records.db") || name == "segments" || name == "drystone.toml.new") {
            return Err(OpenError::NotEmpty(folder.to_owned()));
        }
    }
    let segments = segments_path(folder);
    plain_file::make_folder(&segments, Some(folder)).map_err(failed("create", &segments))?;
    connection::create(&records_path(folder))?;
    let described = Described {
        format: FORMAT_VERSION.into(),
        hash: HASH.into(),
        chunking: chunking.to_string(),
    };
    let text = format!(
        "# A drystone store. Do not edit: every chunk in it was cut and named like this.\n\
         format = {}\nhash = \"{}\"\nchunking = \"{}\"\n",
        described.format, described.hash, described.chunking
    );
    let new = folder.join("drystone.toml.new");
    let mut options = OpenOptions::new();
    let out = plain_file::open(&new, options.write(true).create(true).truncate(true));
    let mut out = out.map_err(failed("create", &new))?;
    plain_file::give_to_owner(&out, Some(folder));
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(failed("write", &new))?;
    for dir in named_in {
        let named = sync(dir);
        // A folder that was there before may lie in one that this process may not open, so a
        // failure is no error. An `init` that was killed may have made it too, so it is tried.
        if is_new {
            named?;
        }
    }
    sync(folder)?;
    // Last, because its presence says that everything else is there.
    fs::rename(&new, &file).map_err(failed("rename", &new))?;
    sync(folder)
}

pub(crate) fn read(folder: &Path) -> Result<Chunking, OpenError> {
    let path = folder.join(FILE);
    let mut text = String::new();
    match plain_file::open_to_read(&path) {
        Ok(file) => match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(OpenError::Damaged { path, detail: "it is not text".into() });
            }
            read => read.map_err(failed("read", &path))?,
        },
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Err(OpenError::NotAStore(folder.to_owned()));
        }
        Err(error) if plain_file::is_not_a_file(&error) => {
            return Err(OpenError::Damaged { path, detail: error.to_string() });
        }
        Err(error) => return Err(failed("open", &path)(error)),
    };
    parse(&text).map_err(|error| match error {
        ParseError::Newer(found) => OpenError::NewerFormat { found },
        ParseError::Other(detail) => OpenError::Damaged { path, detail },
    })
}

enum ParseError {
    Newer(u64),
    Other(String),
}

fn parse(text: &str) -> Result<Chunking, ParseError> {
    // The version first: a later format may describe itself in ways that this one does not know.
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| ParseError::Other(error.message().into()))?;
    match table.get("format").and_then(toml::Value::as_integer).map(u64::try_from) {
        Some(Ok(found)) if found > FORMAT_VERSION.into() => return Err(ParseError::Newer(found)),
        Some(Ok(1..)) => {}
        _ => return Err(ParseError::Other("`format` is not a positive number".into())),
    }
    let described: Described = table
        .try_into()
        .map_err(|error: toml::de::Error| ParseError::Other(error.message().into()))?;
    if described.hash != HASH {
        return Err(ParseError::Other(format!("unknown hash `{}`", described.hash)));
    }
    described
        .chunking
        .parse()
        .map_err(|error: drystone_chunker::ParamsError| ParseError::Other(error.to_string()))
}
