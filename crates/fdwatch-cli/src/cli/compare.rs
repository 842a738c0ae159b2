//! `fdwatch compare A.json B.json`: what grew between two recordings.
//!
//! Of each file the last count is taken. Processes are known by their names, since pids differ from
//! run to run: those of the same name are added up. What is compared are groups: a kind and a
//! pattern of targets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::Path;

use serde::Deserialize;

use super::arguments::CompareArgs;
use super::failure::Failure;
use super::streams;
use crate::report::{Printable, SCHEMA};

/// A count of a thousand processes with all their groups has less.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Groups that are told.
const TOLD_MAX: usize = 50;
const PATTERN_CHARS_MAX: usize = 100;

/// What is needed of a line; what is not known is skipped, as the format wants it.
#[derive(Debug, Deserialize)]
struct Count {
    schema: u32,
    elapsed_ms: u64,
    processes: Vec<Process>,
}

#[derive(Debug, Deserialize)]
struct Process {
    name: String,
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    kind: String,
    pattern: String,
    count: u64,
}

/// By name of the process, kind and pattern.
type Groups = BTreeMap<(String, String, String), u64>;

/// A group that is not what it was.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    group: (String, String, String),
    before: u64,
    after: u64,
}

pub(super) fn run(arguments: &CompareArgs) -> Result<u8, Failure> {
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    let changes = grown(&groups(&before), &groups(&after), arguments.allow);
    let elapsed_ms = [&before, &after].map(|count| count.elapsed_ms);
    streams::print(|mut out| tell(&mut out, &changes, arguments.allow, elapsed_ms))?;
    Ok(u8::from(!changes.is_empty()))
}

fn read(path: &Path) -> Result<Count, Failure> {
    let what = || path.display().to_string();
    let input = |source| Failure::Input { what: what(), source };
    let file = File::open(path).map_err(input)?;
    last(BufReader::new(file))
        .map_err(input)?
        .map_err(|why| Failure::Recording { what: what(), why })
}

/// The last count. A line that is not ended was being written when the recording was cut off: the
/// one before it counts.
fn last(mut file: impl BufRead) -> io::Result<Result<Count, String>> {
    let (mut last, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            if line.len() as u64 == LINE_BYTES_MAX {
                return Ok(Err(format!("a line is longer than {LINE_BYTES_MAX} bytes")));
            }
            break;
        }
        std::mem::swap(&mut last, &mut line);
    }
    if last.is_empty() {
        return Ok(Err("there is no whole line in it".to_owned()));
    }
    Ok(match serde_json::from_slice::<Count>(&last) {
        Ok(count) if count.schema == SCHEMA => Ok(count),
        Ok(count) => {
            Err(format!("its schema is {}, and {SCHEMA} is what this version reads", count.schema))
        }
        Err(error) => Err(format!("its last line: {error}")),
    })
}

fn groups(count: &Count) -> Groups {
    let mut groups = Groups::new();
    for process in &count.processes {
        for group in &process.groups {
            let key = (process.name.clone(), group.kind.clone(), group.pattern.clone());
            let sum = groups.entry(key).or_default();
            *sum = sum.saturating_add(group.count);
        }
    }
    groups
}

/// What grew by more than `allow`, most growth first.
fn grown(before: &Groups, after: &Groups, allow: u64) -> Vec<Change> {
    let change = |(group, &after): (&(String, String, String), &u64)| {
        let before = before.get(group).copied().unwrap_or(0);
        (after > before.saturating_add(allow)).then(|| Change {
            group: group.clone(),
            before,
            after,
        })
    };
    let mut changes: Vec<Change> = after.iter().filter_map(change).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.after - change.before));
    changes
}

fn tell(
    out: &mut impl Write,
    changes: &[Change],
    allow: u64,
    elapsed_ms: [u64; 2],
) -> io::Result<()> {
    let [before, after] = elapsed_ms.map(|ms| ms as f64 / 1000.0);
    let by = if allow > 0 { format!(" by more than {allow}") } else { String::new() };
    writeln!(out, "Compared: the count after {before:.1} s with the count after {after:.1} s.")?;
    if changes.is_empty() {
        return writeln!(out, "Nothing grew{by}.");
    }
    let kinds =
        if changes.len() == 1 { "1 group".to_owned() } else { format!("{} groups", changes.len()) };
    writeln!(out, "GREW{by}: {kinds} of descriptors.")?;
    for Change { group: (name, kind, pattern), before, after } in changes.iter().take(TOLD_MAX) {
        let (name, pattern) = (shown(name), shown(pattern));
        writeln!(
            out,
            "    {:>+7} {kind:<12} {pattern} ({before} → {after}, {name})",
            i128::from(after - before)
        )?;
    }
    if changes.len() > TOLD_MAX {
        writeln!(out, "    and {} more", changes.len() - TOLD_MAX)?;
    }
    Ok(())
}

fn shown(text: &str) -> String {
    Printable::new(text.as_bytes(), PATTERN_CHARS_MAX).to_string()
}

#[cfg(test)]
mod tests {
    use fdwatch::Report;

    use super::*;
    use crate::report::fixture::leaking;
    use crate::report::json;

    fn recorded(reports: &[&Report]) -> Vec<u8> {
        let mut lines = Vec::new();
        reports.iter().for_each(|report| json::write(&mut lines, report, false).unwrap());
        lines
    }

    fn count_of(lines: &[u8]) -> Result<Count, String> {
        last(lines).unwrap()
    }

    #[test]
    fn what_grew_is_found_also_with_another_pid() {
        let before = leaking();
        let mut after = leaking();
        after.processes[0].key.pid += 1;
        after.processes[0].groups[0].count += 7;
        after.processes[0].groups[2].count -= 1;
        // A second process of the same name has what the first has not.
        let mut second = after.processes[0].clone();
        second.groups.truncate(2);
        second.groups[0].count = 5;
        second.groups[1].count = 2;
        after.processes.push(second);
        let [before, after] =
            [&before, &after].map(|report| groups(&count_of(&recorded(&[report])).unwrap()));
        let changes = grown(&before, &after, 0);
        let growths: Vec<_> = changes
            .iter()
            .map(|change| (change.group.1.as_str(), change.after - change.before))
            .collect();
        assert_eq!(growths, [("socket", 12), ("deleted-file", 2)]);
        assert_eq!(grown(&before, &after, 11).len(), 1);
        assert_eq!(grown(&before, &after, 12), []);
        assert_eq!(grown(&before, &before, 0), []);
    }

    #[test]
    fn the_last_whole_line_counts() {
        let (mut old, mut new) = (leaking(), leaking());
        old.processes.truncate(1);
        new.processes.truncate(2);
        let mut lines = recorded(&[&old, &new]);
        assert_eq!(count_of(&lines).unwrap().processes.len(), 2);
        lines.truncate(lines.len() - 1);
        assert_eq!(count_of(&lines).unwrap().processes.len(), 1);
    }

    #[test]
    fn what_is_no_recording_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "no whole line"),
            ("{}", "no whole line"),
            ("{}\n", "missing field"),
            ("pid,count\n", "its last line"),
            ("{\"schema\":999,\"elapsed_ms\":1,\"processes\":[]}\n", "its schema is 999"),
        ] {
            let error = count_of(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_shown_as_any_terminal_can_show_them() {
        let group = ("a\u{1b}[2J".to_owned(), "file".to_owned(), "/x\ny".to_owned());
        let mut said = Vec::new();
        tell(&mut said, &[Change { group, before: 1, after: 3 }], 0, [0, 1500]).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("     +2 file") && said.contains("(1 → 3, a"), "{said}");
        assert!(!said.contains('\u{1b}') && said.lines().count() == 3, "{said}");
    }
}
