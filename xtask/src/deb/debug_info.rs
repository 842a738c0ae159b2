//! Whether a packed program is stripped, and whether its debug information was packed beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What [`readelf`] says of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// In hexadecimal digits.
    build_id: String,
    /// The names of its sections.
    sections: Vec<String>,
}

/// The sections that only debuggers need. They are by far the largest part of an unstripped
/// program.
const STRIPPED: [&str; 3] = [".debug_info", ".debug_line", ".symtab"];

/// The command whose output [`Elf::parse`] reads.
pub(super) fn readelf(file: &Path) -> Command {
    let mut command = Command::new("readelf");
    command.args(["--wide", "--notes", "--sections"]).arg(file).env("LC_ALL", "C");
    command
}

impl Elf {
    pub(super) fn parse(said: &str) -> Self {
        let mut elf = Self::default();
        for line in said.lines().map(str::trim) {
            if let Some((_, id)) = line.split_once("Build ID: ") {
                elf.build_id = id.to_owned();
            }
            // `[29] .debug_line       PROGBITS        …`, and `[ 1] .interp …`.
            let section = line.strip_prefix('[').and_then(|line| line.split_once(']'));
            if let Some((number, rest)) = section
                && number.trim().parse::<u32>().is_ok()
            {
                elf.sections.extend(rest.split_whitespace().next().map(str::to_owned));
            }
        }
        elf
    }

    /// Where debuggers look for the debug information of a program with this id.
    pub(super) fn debug_path(&self, root: &Path) -> PathBuf {
        let (start, rest) = self.build_id.split_at_checked(2).unwrap_or_default();
        root.join(format!("usr/lib/debug/.build-id/{start}/{rest}.debug"))
    }

    fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|found| found == section)
    }
}

/// What is wrong with a program, and with the file that was found at its
/// [`debug_path`](Elf::debug_path).
pub(super) fn wrong_in(program: &Elf, debug: &Elf) -> Vec<String> {
    let mut wrong = Vec::new();
    for section in STRIPPED.iter().filter(|section| program.has(section)) {
        wrong.push(format!("the packed program is not stripped: it has {section}"));
    }
    if program.build_id.len() < 8 {
        wrong.push("the packed program has no build id".to_owned());
    }
    if !program.has(".gnu_debuglink") {
        wrong.push("the packed program does not name its debug information".to_owned());
    }
    if debug.build_id != program.build_id {
        wrong.push(format!("debug information of {}, not {}", debug.build_id, program.build_id));
    }
    for section in STRIPPED.iter().filter(|section| !debug.has(section)) {
        wrong.push(format!("the debug information has no {section}"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "\
There are 30 section headers, starting at offset 0x1b8:
Section Headers:
  [Nr] Name              Type            Address          Off    Size   ES Flg Lk Inf Al
  [ 0]                   NULL            0000000000000000 000000 000000 00      0   0  0
  [ 1] .interp           PROGBITS        0000000000000350 000350 00001c 00   A  0   0  1
  [28] .gnu_debuglink    PROGBITS        0000000000000000 0e2420 000034 00      0   0  4
Displaying notes found in: .note.gnu.build-id
  GNU  0x00000014 NT_GNU_BUILD_ID (unique build ID bitstring)	    Build ID: 24b76b98bf0d81807512e2b1463b6bfa15447143
";

    fn debug() -> String {
        let sections = STRIPPED.map(|section| format!("  [29] {section}       PROGBITS 0\n"));
        sections.concat() + PROGRAM
    }

    #[test]
    fn the_output_of_readelf_is_read() {
        let elf = Elf::parse(PROGRAM);
        assert_eq!(elf.build_id, "24b76b98bf0d81807512e2b1463b6bfa15447143");
        assert_eq!(elf.sections[1..], [".interp", ".gnu_debuglink"]);
        let path = "/r/usr/lib/debug/.build-id/24/b76b98bf0d81807512e2b1463b6bfa15447143.debug";
        assert_eq!(elf.debug_path(Path::new("/r")), Path::new(path));
    }

    /// This test program itself, split as `cargo-deb` splits what it packs.
    #[test]
    fn a_real_program_is_looked_into() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let path = |name: &str| folder.path().join(name);
        let own = std::env::current_exe().expect("this program");
        let run = |mut command: Command| {
            let done = command.output().expect("binutils are here, since we were linked");
            assert!(done.status.success(), "{command:?}: {done:?}");
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        let mut keep = Command::new("objcopy");
        keep.arg("--only-keep-debug").arg(&own).arg(path("a.debug"));
        let mut strip = Command::new("strip");
        strip.args(["--strip-unneeded", "-o"]).arg(path("a")).arg(&own);
        let mut link = Command::new("objcopy");
        link.args(["--add-gnu-debuglink=a.debug", "a"]).current_dir(folder.path());
        [keep, strip, link].into_iter().for_each(|step| drop(run(step)));
        let elf = |file: &Path| Elf::parse(&run(readelf(file)));
        assert_eq!(wrong_in(&elf(&path("a")), &elf(&path("a.debug"))), [""; 0]);
        let unstripped = wrong_in(&elf(&own), &elf(&path("a.debug")));
        assert!(unstripped[0].contains("not stripped"), "{unstripped:?}");
    }

    #[test]
    fn a_stripped_program_has_its_debug_information_beside_it() {
        let (program, debug) = (Elf::parse(PROGRAM), debug());
        assert_eq!(wrong_in(&program, &Elf::parse(&debug)), [""; 0]);
        let wrong = |program: &str, debug: &str| {
            wrong_in(&Elf::parse(program), &Elf::parse(debug)).join("; ")
        };
        let unstripped = wrong(&debug, &debug);
        assert_eq!(unstripped.matches("not stripped: it has .").count(), 3, "{unstripped}");
        let unlinked = "the packed program does not name its debug information";
        assert_eq!(wrong(&PROGRAM.replace(".gnu_debuglink", ".data"), &debug), unlinked);
        let other = wrong(PROGRAM, &debug.replace("24b7", "25b7"));
        assert!(other.starts_with("debug information of 25b7"), "{other}");
        let no_lines = "the debug information has no .debug_line";
        assert_eq!(wrong(PROGRAM, &debug.replace(".debug_line", ".debug_str")), no_lines);
        let no_id = wrong(&PROGRAM.replace("Build ID", "Build"), &debug.replace("Build ID", "x"));
        assert_eq!(no_id, "the packed program has no build id");
    }
}
