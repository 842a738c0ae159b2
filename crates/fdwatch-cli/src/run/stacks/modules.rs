//! The files whose code the tracees run: what is needed of each to walk a stack through it, read
//! once.
//!
//! No descriptor stays open. Names of functions are not kept here: they are looked up when the
//! stacks are printed (`names.rs`).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use framehop::ExplicitModuleSectionInfo;
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSegment as _, ReadCache};

use super::maps::Mapping;

/// So many files are known.
const MODULES_MAX: usize = 1024;
/// So many bytes of unwind tables are kept over all files; through the others a walk goes by frame
/// pointers.
const TABLE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Modules {
    numbers: HashMap<(u64, u64, Vec<u8>), u32>,
    modules: Vec<Module>,
    table_bytes: usize,
    /// Files that found no room.
    dropped: u64,
}

/// One file.
#[derive(Debug)]
pub(super) struct Module {
    inode: u64,
    /// In the tracee's view of the file system.
    path: PathBuf,
    /// A process that had it mapped: its view is tried first.
    process: u32,
    /// Those with code: offsets in the file, and the address that the first is linked to.
    segments: Vec<(Range<u64>, u64)>,
    tables: Option<Tables>,
}

/// `.eh_frame` and its index, each with its address as linked.
#[derive(Debug, Default)]
struct Tables {
    eh_frame: Option<(Range<u64>, Rc<[u8]>)>,
    eh_frame_hdr: Option<(Range<u64>, Rc<[u8]>)>,
}

impl Modules {
    /// The number of the file that is mapped there; `None` if there is no room for it.
    pub(super) fn number(&mut self, process: u32, mapping: &Mapping) -> Option<u32> {
        let key = (mapping.device, mapping.inode, mapping.path.clone());
        if let Some(&number) = self.numbers.get(&key) {
            return Some(number);
        }
        if self.modules.len() >= MODULES_MAX {
            self.dropped += 1;
            return None;
        }
        let number = u32::try_from(self.modules.len()).ok()?;
        let module = self.load(process, mapping);
        self.modules.push(module);
        self.numbers.insert(key, number);
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Module> {
        self.modules.get(number as usize)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn load(&mut self, process: u32, mapping: &Mapping) -> Module {
        let path = PathBuf::from(OsStr::from_bytes(&mapping.path));
        let mut module =
            Module { inode: mapping.inode, path, process, segments: Vec::new(), tables: None };
        let Some(file) = module.open_mapped(mapping) else { return module };
        let cache = ReadCache::new(file);
        let Ok(file) = ElfFile64::<LittleEndian, _>::parse(&cache) else { return module };
        // A page may belong to two segments, one of which is not code: linkers put them next to
        // each other.
        let code = file.segments().filter(|segment| segment.permissions().executable());
        let ranges = code.map(|segment| {
            let (offset, size) = segment.file_range();
            (offset..offset.saturating_add(size), segment.address())
        });
        module.segments = ranges.collect();
        let section = |name| {
            let section = file.section_by_name(name)?;
            let range = section.address()..section.address().checked_add(section.size())?;
            Some((range, section))
        };
        let (eh_frame, eh_frame_hdr) = (section(".eh_frame"), section(".eh_frame_hdr"));
        let bytes = [&eh_frame, &eh_frame_hdr]
            .into_iter()
            .flatten()
            .map(|(range, _)| range.end - range.start);
        let bytes = usize::try_from(bytes.fold(0, u64::saturating_add)).unwrap_or(usize::MAX);
        if bytes > TABLE_BYTES_MAX - self.table_bytes {
            self.dropped += 1;
            return module;
        }
        self.table_bytes += bytes;
        let read = |found: Option<(
            Range<u64>,
            object::read::elf::ElfSection64<'_, '_, LittleEndian, _>,
        )>| {
            let (range, section) = found?;
            Some((range, section.data().ok()?.into()))
        };
        module.tables = Some(Tables { eh_frame: read(eh_frame), eh_frame_hdr: read(eh_frame_hdr) });
        module
    }
}

impl Module {
    /// `libc.so.6`.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// What is to be added to addresses as linked, where this is mapped.
    pub(super) fn bias(&self, mapping: &Mapping) -> Option<u64> {
        let (range, address) = self.segments.iter().find(|(range, _)| {
            // A mapping begins at a page, a segment anywhere in it.
            (range.start & !(PAGE_BYTES_MAX - 1)..range.end).contains(&mapping.offset)
        })?;
        let linked = address.wrapping_add(mapping.offset).wrapping_sub(range.start);
        Some(mapping.range.start.wrapping_sub(linked))
    }

    /// What the walk needs. The tables are shared, not copied.
    pub(super) fn sections(&self) -> ExplicitModuleSectionInfo<Rc<[u8]>> {
        let mut sections = ExplicitModuleSectionInfo::default();
        if let Some(tables) = &self.tables {
            (sections.eh_frame_svma, sections.eh_frame) = tables.eh_frame.clone().unzip();
            (sections.eh_frame_hdr_svma, sections.eh_frame_hdr) =
                tables.eh_frame_hdr.clone().unzip();
        }
        sections
    }

    /// The file again, when nothing may be left of the process; `None` if there is another one in
    /// its place.
    pub(super) fn open(&self) -> Option<File> {
        let there = |path: &Path| open_regular(path.as_os_str()).filter(|file| self.is_it(file));
        there(&self.path_for(self.process)).or_else(|| there(&self.path))
    }

    /// The kernel's link to the mapping reaches the very file, also when it was deleted; following
    /// it takes a privilege.
    fn open_mapped(&self, mapping: &Mapping) -> Option<File> {
        let Range { start, end } = mapping.range;
        let link = format!("/proc/{}/map_files/{start:x}-{end:x}", self.process);
        open_regular(OsStr::new(&link)).or_else(|| self.open())
    }

    fn path_for(&self, process: u32) -> PathBuf {
        let mut path = OsString::from(format!("/proc/{process}/root"));
        path.push(&self.path);
        path.into()
    }

    fn is_it(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| metadata.ino() == self.inode)
    }
}

/// Of all architectures with a choice.
const PAGE_BYTES_MAX: u64 = 64 << 10;

/// Devices can be mapped, too: those are not touched.
fn open_regular(path: &OsStr) -> Option<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}
