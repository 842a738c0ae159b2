//! The kinds of archives.

use std::io;

use bytes::Bytes;
use drystone_edge::answer::BodyError;
use drystone_edge::fault::Fault;
use drystone_store::ObjectRow;

use super::directory::Directory;
use super::tar;
use super::zip::Zip;

/// A kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tar,
    Zip,
}

/// An archive under way.
pub(super) enum Format {
    Tar { has_ended: bool },
    Zip(Box<Zip>),
}

impl Kind {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "tar" => Some(Self::Tar),
            "zip" => Some(Self::Zip),
            _ => None,
        }
    }

    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Zip => "zip",
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Tar => "application/x-tar",
            Self::Zip => "application/zip",
        }
    }
}

impl Format {
    /// An archive of this kind, whose list, if it has one, is kept there.
    pub(super) fn new(kind: Kind, directory: Directory) -> Self {
        match kind {
            Kind::Tar => Self::Tar { has_ended: false },
            Kind::Zip => Self::Zip(Box::new(Zip::new(directory))),
        }
    }

    /// What goes in front of a file's bytes.
    pub(super) fn begin(&mut self, name: &str, object: &ObjectRow) -> io::Result<Bytes> {
        match self {
            Self::Tar { .. } => tar::entry(name, object),
            Self::Zip(zip) => Ok(zip.begin(name, object)),
        }
    }

    /// Bytes of the file.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if let Self::Zip(zip) = self {
            zip.pass(bytes);
        }
    }

    /// What comes behind all of them.
    pub(super) async fn end(&mut self, size: u64) -> Result<Bytes, BodyError> {
        match self {
            Self::Tar { .. } => Ok(tar::padding(size)),
            Self::Zip(zip) => zip.end().await,
        }
    }

    /// What makes an archive that breaks off be taken for broken also where it ends between two
    /// files.
    pub(super) fn cut_off(&self) -> Bytes {
        match self {
            Self::Tar { .. } => tar::cut_off(),
            // Without its list it is no zip.
            Self::Zip(_) => Bytes::new(),
        }
    }

    /// The next piece of what comes behind the last file; empty when nothing is left.
    pub(super) async fn last(&mut self) -> Result<Bytes, Fault> {
        match self {
            Self::Tar { has_ended: true } => Ok(Bytes::new()),
            Self::Tar { has_ended } => {
                *has_ended = true;
                Ok(tar::end())
            }
            Self::Zip(zip) => zip.last().await,
        }
    }
}
