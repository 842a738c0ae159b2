//! The kinds of archives.

use std::io;

use bytes::Bytes;
use drystone_store::ObjectRow;

use super::directory::Full;
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
    Tar,
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
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Tar => Self::Tar,
            Kind::Zip => Self::Zip(Box::new(Zip::new())),
        }
    }

    /// What goes in front of a file's bytes.
    pub(super) fn begin(&mut self, name: &str, object: &ObjectRow) -> io::Result<Bytes> {
        match self {
            Self::Tar => tar::entry(name, object),
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
    pub(super) fn end(&mut self, size: u64) -> Result<Bytes, Full> {
        match self {
            Self::Tar => Ok(tar::padding(size)),
            Self::Zip(zip) => zip.end(),
        }
    }

    /// What makes an archive that breaks off be taken for broken also where it ends between two
    /// files.
    pub(super) fn cut_off(kind: Kind) -> Bytes {
        match kind {
            Kind::Tar => tar::cut_off(),
            // Without its list it is no zip.
            Kind::Zip => Bytes::new(),
        }
    }

    /// What comes behind the last file, piece by piece.
    pub(super) fn last(self) -> Box<dyn Iterator<Item = Bytes> + Send> {
        match self {
            Self::Tar => Box::new(std::iter::once(tar::end())),
            Self::Zip(zip) => Box::new(zip.last()),
        }
    }
}
