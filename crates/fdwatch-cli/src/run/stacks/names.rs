//! Names of functions, from the symbol tables of the files; looked up for the stacks that are
//! printed.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;

use object::read::elf::ElfFile64;
use object::{
    LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache, SymbolKind,
};

use super::interner::{Code, Frame};
use super::lines::{Lines, SourceCall, lines_at};
use super::made_code::MadeCode;
use super::modules::{Module, Modules};
use crate::report::Printable;

/// So many names are remembered; then all are forgotten and looked up again as they are needed.
const NAMES_MAX: usize = 16_384;
/// A name is cut here: those of C++ templates know no end.
const NAME_CHARS_MAX: usize = 256;
/// Symbol tables above are not read.
const TABLE_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, Default)]
pub(super) struct Names {
    /// What was inlined comes first, innermost first.
    names: HashMap<Frame, Vec<String>>,
    /// Files whose debug information was too large.
    debug_files_left_out: u64,
}

/// The best symbol so far for one address.
struct Candidate {
    start: u64,
    name: Vec<u8>,
}

impl Names {
    /// Looks up what is not known yet, each file once.
    pub(super) fn prepare(&mut self, frames: &[Frame], modules: &Modules, made: &MadeCode) {
        if self.names.len() + frames.len() > NAMES_MAX {
            self.names.clear();
        }
        let mut missing: BTreeMap<u32, Vec<InFile>> = BTreeMap::new();
        for &frame in frames {
            if self.names.contains_key(&frame) {
                continue;
            }
            match frame.code {
                Code::File { module, address } => {
                    missing.entry(module).or_default().push(InFile { frame, address });
                }
                Code::Made(name) => {
                    let name = Printable::new(made.name(name), NAME_CHARS_MAX).to_string();
                    self.names.insert(frame, vec![format!("{name} (made at run time)")]);
                }
                Code::Unknown => {}
            }
        }
        for (number, frames) in missing {
            if let Some(module) = modules.get(number) {
                self.look_up(frames, module);
            }
        }
    }

    /// `FUNCTION+0x12 at SOURCE:LINE (FILE)`, `0x1234 (FILE)` where no function is known; before
    /// it, what was inlined there.
    pub(super) fn of(&self, frame: &Frame) -> Vec<String> {
        self.names.get(frame).cloned().unwrap_or_else(|| vec!["? (code of no file)".to_owned()])
    }

    pub(super) fn debug_files_left_out(&self) -> u64 {
        self.debug_files_left_out
    }

    fn look_up(&mut self, mut frames: Vec<InFile>, module: &Module) {
        frames.sort_unstable_by_key(InFile::lookup_address);
        frames.dedup_by_key(|frame| (frame.frame, frame.address));
        let addresses: Vec<u64> = frames.iter().map(InFile::lookup_address).collect();
        let found = module.open().map(|file| functions_at(file, &addresses)).unwrap_or_default();
        let lines = match module.open().map(|file| lines_at(file, &addresses)) {
            Some(Lines::Found(lines)) => lines,
            Some(Lines::TooLarge) => {
                self.debug_files_left_out += 1;
                HashMap::new()
            }
            None => HashMap::new(),
        };
        let file = module.name();
        for frame in frames {
            let address = frame.lookup_address();
            let mut calls = lines.get(&address).map_or(&[][..], |calls| calls);
            let mut names = Vec::with_capacity(calls.len().max(1));
            while let [inlined, rest @ ..] = calls
                && !rest.is_empty()
            {
                let name = inlined.function.as_deref().map_or_else(|| "?".to_owned(), readable);
                names.push(format!("{name}, inlined{} ({file})", at(inlined)));
                calls = rest;
            }
            let source = calls.first().map(at).unwrap_or_default();
            names.push(match found.get(&address) {
                Some(function) => {
                    let offset = frame.address - function.start;
                    format!("{}+{offset:#x}{source} ({file})", readable(&function.name))
                }
                None => format!("{:#x}{source} ({file})", frame.address),
            });
            self.names.insert(frame.frame, names);
        }
    }
}

/// ` at src/pool.rs:12`.
fn at(call: &SourceCall) -> String {
    call.place.as_ref().map_or_else(String::new, |place| format!(" at {place}"))
}

/// A frame in the code of a file.
struct InFile {
    frame: Frame,
    address: u64,
}

impl InFile {
    /// A return address is that of the next instruction, which may belong to the next function.
    fn lookup_address(&self) -> u64 {
        self.address.saturating_sub(u64::from(self.frame.is_return))
    }
}

/// `addresses` are in order.
fn functions_at(file: File, addresses: &[u64]) -> HashMap<u64, Candidate> {
    let mut found = HashMap::new();
    let cache = ReadCache::new(file);
    let Ok(elf) = ElfFile64::<LittleEndian, _>::parse(&cache) else { return found };
    let tables = [".symtab", ".strtab", ".dynsym", ".dynstr"].map(|name| elf.section_by_name(name));
    let bytes = tables.iter().flatten().map(|table| table.size()).fold(0, u64::saturating_add);
    if bytes > TABLE_BYTES_MAX {
        return found;
    }
    for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
        if !symbol.is_definition() || symbol.kind() != SymbolKind::Text {
            continue;
        }
        let (start, end) = (symbol.address(), symbol.address().saturating_add(symbol.size()));
        let first = addresses.partition_point(|&address| address < start);
        let within = addresses[first..].iter().take_while(|&&address| address < end);
        for &address in within {
            let Ok(name) = symbol.name_bytes() else { break };
            let better =
                found.get(&address).is_none_or(|best: &Candidate| is_better(start, name, best));
            if better {
                found.insert(address, Candidate { start, name: name.to_owned() });
            }
        }
    }
    found
}

/// Functions have aliases: `open64`, `__open64`, `__libc_open`. The nearest start, then the
/// plainest name.
fn is_better(start: u64, name: &[u8], best: &Candidate) -> bool {
    let rank = |start: u64, name: &[u8]| {
        let underscores = name.iter().take_while(|&&byte| byte == b'_').count();
        (u64::MAX - start, underscores, name.len(), name.to_owned())
    };
    rank(start, name) < rank(best.start, &best.name)
}

/// As its language writes it.
fn readable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let demangled = match rustc_demangle::try_demangle(&text) {
        Ok(rust) => Some(format!("{rust:#}")),
        Err(_) if text.starts_with("_Z") => {
            cpp_demangle::Symbol::new(name).ok().and_then(|symbol| symbol.demangle().ok())
        }
        Err(_) => None,
    };
    let readable = demangled.as_deref().unwrap_or(&text);
    match readable.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &readable[..end]),
        None => readable.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_their_language_does() {
        assert_eq!(readable(b"open64"), "open64");
        assert_eq!(readable(b"_ZN5store4Pool4openEPKc"), "store::Pool::open(char const*)");
        assert_eq!(readable(b"_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
        assert_eq!(readable(b"_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(readable(b"_Z\xff"), "_Z\u{fffd}");
        assert_eq!(readable(&[b'a'; NAME_CHARS_MAX]).len(), NAME_CHARS_MAX);
        assert_eq!(readable(&[b'a'; NAME_CHARS_MAX + 1]).chars().count(), NAME_CHARS_MAX + 1);
    }

    #[test]
    fn the_plainest_alias_is_taken() {
        let best = |name: &str| Candidate { start: 100, name: name.into() };
        assert!(is_better(100, b"open64", &best("__open64")));
        assert!(is_better(100, b"open", &best("open64")));
        assert!(!is_better(100, b"__libc_open64", &best("open64")));
        assert!(is_better(104, b"___inner", &best("outer")));
    }

    #[test]
    fn a_function_of_this_program_is_found_by_its_addresses() {
        let file = File::open("/proc/self/exe").unwrap();
        let cache = ReadCache::new(File::open("/proc/self/exe").unwrap());
        let elf = ElfFile64::<LittleEndian, _>::parse(&cache).unwrap();
        let main = elf.symbols().find(|symbol| symbol.name() == Ok("main")).unwrap();
        let (first, last) = (main.address(), main.address() + main.size() - 1);
        let found = functions_at(file, &[0, first, last]);
        assert_eq!(found[&first].name, b"main");
        assert_eq!((found[&last].name.as_slice(), found[&last].start), (&b"main"[..], first));
        assert!(!found.contains_key(&0));
    }
}
