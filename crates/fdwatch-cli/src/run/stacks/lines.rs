//! Lines of source and inlined functions, from the debug information of a file where it has some.
//!
//! Read when stacks are described and let go of again: what is found is remembered by `names.rs`.
//! Compressed debug information, that in a file of its own, and parts in other files (split DWARF)
//! are not read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian as Order, SectionId};
use addr2line::{Context, Location};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, ReadCache};

/// So much debug information of a file is read, all its sections together: a lookup holds about as
/// much in memory.
const DEBUG_BYTES_MAX: u64 = 128 << 20;
/// So many inlined calls are told of one frame.
const CALLS_MAX: usize = 16;
/// So many parts of a path are told, from its end: the rest is where it was built.
const PATH_PARTS_MAX: usize = 3;

/// What was found in a file.
#[derive(Debug)]
pub(super) enum Lines {
    /// By address, innermost first; the last is the function that the others were inlined into.
    Found(HashMap<u64, Vec<SourceCall>>),
    /// Too much to be read.
    TooLarge,
}

/// One call, as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceCall {
    /// As the linker has it.
    pub(super) function: Option<Vec<u8>>,
    /// `src/pool.rs:12`.
    pub(super) place: Option<String>,
}

pub(super) fn lines_at(file: File, addresses: &[u64]) -> Lines {
    let none = || Lines::Found(HashMap::new());
    let cache = ReadCache::new(file);
    let Ok(elf) = ElfFile64::<LittleEndian, _>::parse(&cache) else { return none() };
    let sections = elf
        .sections()
        .filter(|section| section.name().is_ok_and(|name| name.starts_with(".debug_")));
    let bytes = sections.map(|section| section.size()).fold(0, u64::saturating_add);
    if bytes == 0 {
        return none();
    }
    if bytes > DEBUG_BYTES_MAX {
        return Lines::TooLarge;
    }
    let section = |id: SectionId| -> Result<EndianSlice<'_, Order>, addr2line::gimli::Error> {
        let data =
            elf.section_by_name(id.name()).and_then(|section| match section.uncompressed_data() {
                Ok(Cow::Borrowed(data)) => Some(data),
                _ => None,
            });
        Ok(EndianSlice::new(data.unwrap_or_default(), Order))
    };
    // What is malformed is as good as absent: the names of the symbols remain.
    let Ok(context) = Dwarf::load(section).and_then(Context::from_dwarf) else { return none() };
    let mut found = HashMap::new();
    for &address in addresses {
        let calls = calls_at(&context, address);
        if !calls.is_empty() {
            found.insert(address, calls);
        }
    }
    Lines::Found(found)
}

fn calls_at(context: &Context<EndianSlice<'_, Order>>, address: u64) -> Vec<SourceCall> {
    let mut calls = Vec::new();
    let Ok(mut frames) = context.find_frames(address).skip_all_loads() else { return calls };
    while calls.len() < CALLS_MAX
        && let Ok(Some(frame)) = frames.next()
    {
        let function = frame.function.map(|function| function.name.slice().to_vec());
        calls.push(SourceCall { function, place: frame.location.as_ref().and_then(place) });
    }
    calls
}

fn place(location: &Location<'_>) -> Option<String> {
    let file = location.file?;
    let parts: Vec<&str> =
        file.rsplit('/').filter(|part| !part.is_empty()).take(PATH_PARTS_MAX).collect();
    let path = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    Some(location.line.map_or_else(|| path.clone(), |line| format!("{path}:{line}")))
}

#[cfg(test)]
mod tests {
    use std::fs::write;
    use std::process::Command;

    use object::ObjectSymbol as _;

    use super::*;

    #[test]
    fn inlined_calls_and_their_lines_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("inlined.c"), folder.path().join("program"));
        write(
            &source,
            "volatile int sink;\n\
             static inline __attribute__((always_inline)) void inner(int n) {\n  sink = n;\n}\n\
             __attribute__((noinline)) void outer(int n) {\n  inner(n + 1);\n}\n\
             int main(void) {\n  outer(1);\n  return 0;\n}\n",
        )
        .unwrap();
        // What links this test can build that, too.
        let built =
            Command::new("cc").args(["-g", "-O1", "-o"]).arg(&program).arg(&source).status();
        assert!(built.unwrap().success());
        let cache = ReadCache::new(File::open(&program).unwrap());
        let elf = ElfFile64::<LittleEndian, _>::parse(&cache).unwrap();
        let outer = elf.symbols().find(|symbol| symbol.name() == Ok("outer")).unwrap();
        let all: Vec<u64> = (outer.address()..outer.address() + outer.size()).collect();
        let Lines::Found(found) = lines_at(File::open(&program).unwrap(), &all) else {
            panic!("it is small")
        };
        let call = |name: &str, place: &str| SourceCall {
            function: Some(name.into()),
            place: Some(format!(
                "{}/{place}",
                folder.path().file_name().unwrap().to_str().unwrap()
            )),
        };
        let shown = |calls: &Vec<SourceCall>| {
            let ends = calls.iter().map(|call| SourceCall {
                place: call
                    .place
                    .as_deref()
                    .map(|place| place.trim_start_matches("tmp/").to_owned()),
                ..call.clone()
            });
            ends.collect::<Vec<_>>()
        };
        let expected = [call("inner", "inlined.c:3"), call("outer", "inlined.c:6")];
        assert!(found.values().any(|calls| shown(calls) == expected), "{found:?}");
    }

    #[test]
    fn a_file_without_debug_information_has_no_lines() {
        let lines = lines_at(File::open("/dev/null").unwrap(), &[1]);
        assert!(matches!(lines, Lines::Found(found) if found.is_empty()));
    }
}
