//! The rules for one Rust file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Finding;
use super::items::{close_of, test_items};
use super::source::{LexedFile, Token};

const LINES_MAX: usize = 800;
const LINES_REPORTED: usize = 400;

/// Crates that take every lock and thread from `drystone-sync`, so that the checkers see them.
const BEHIND_THE_FACADE: [&str; 4] = ["pool", "store", "appender", "chunker"];
/// Crates that start no thread at all.
const WITHOUT_THREADS: [&str; 2] = ["chunker", "limits"];
const FACADE: &str = "sync";
/// The crate that exchanges tokio's parts for those of shuttle, as the facade does with the parts
/// below it.
const ASYNC_FACADE: &str = "edge";

pub(super) struct RustFile<'a> {
    /// Relative to the workspace root.
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) source: LexedFile<'a>,
    /// Tokens that are compiled for tests only.
    test_ranges: Vec<Range<usize>>,
}

impl<'a> RustFile<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        let source = LexedFile::new(text);
        let test_ranges = test_items(&source.tokens);
        Self { path, text, source, test_ranges }
    }

    /// The files of `#[cfg(test)] mod NAME;`, in both places where such a file may be.
    pub(super) fn test_modules(&self) -> Vec<PathBuf> {
        let stem = self.path.file_stem().unwrap_or_default();
        let parent = self.path.parent().unwrap_or(Path::new(""));
        let owns_directory = stem == "lib" || stem == "main" || stem == "mod";
        let home = if owns_directory { parent.to_owned() } else { parent.join(stem) };
        let items = self.test_ranges.iter().map(|range| &self.source.tokens[range.clone()]);
        let names = items.filter_map(|item| match item {
            [.., keyword, name, end] if keyword.text == "mod" && end.text == ";" => Some(name.text),
            _ => None,
        });
        names.map(|name| home.join(format!("{name}.rs"))).collect()
    }

    /// `is_test`: the whole file is compiled for tests only.
    pub(super) fn check(&self, is_test: bool, findings: &mut Vec<Finding>) {
        let mut found = Vec::new();
        self.leftovers(&mut found);
        self.ignored_tests(&mut found);
        let krate = self.crate_name();
        if krate.is_some_and(|name| name != FACADE) {
            self.checkers_outside_the_facade(krate, &mut found);
        }
        if krate.is_some_and(|name| WITHOUT_THREADS.contains(&name)) && self.is_production(is_test)
        {
            self.threads(&mut found);
        }
        if krate.is_some_and(|name| BEHIND_THE_FACADE.contains(&name))
            && self.is_production(is_test)
        {
            self.around_the_facade(&mut found);
        }
        findings.extend(
            found.into_iter().map(|(line, message)| Finding::new(self.path, line, message)),
        );
    }

    pub(super) fn check_length(&self, findings: &mut Vec<Finding>, reports: &mut Vec<Finding>) {
        let lines = self.text.lines().count();
        let message = |limit| format!("{lines} lines, more than {limit}: split it");
        if lines > LINES_MAX {
            findings.push(Finding::new(self.path, 0, message(LINES_MAX)));
        } else if lines > LINES_REPORTED {
            reports.push(Finding::new(self.path, 0, message(LINES_REPORTED)));
        }
    }

    /// `pool` for `crates/pool/…`; `None` for models and tools.
    fn crate_name(&self) -> Option<&str> {
        let mut parts =
            self.path.components().map(|part| part.as_os_str().to_str().unwrap_or_default());
        (parts.next()? == "crates").then(|| parts.next()).flatten()
    }

    fn is_production(&self, is_test: bool) -> bool {
        let in_src = self.path.components().nth(2).is_some_and(|part| part.as_os_str() == "src");
        in_src && !is_test
    }

    /// The names behind `crate::` in code that ships.
    pub(super) fn uses(&self) -> impl Iterator<Item = &'a str> {
        let paths = self.production().filter(|at| self.reads(*at, "crate : :"));
        paths.flat_map(|at| self.first_names(at + 3)).map(|name| name.text)
    }

    fn tokens(&self) -> &[Token<'a>] {
        &self.source.tokens
    }

    /// Indices of the tokens that ship.
    fn production(&self) -> impl Iterator<Item = usize> {
        (0..self.tokens().len())
            .filter(|at| !self.test_ranges.iter().any(|range| range.contains(at)))
    }

    /// Whether the tokens from `at` on are those of `pattern`, which is split at spaces.
    fn reads(&self, at: usize, pattern: &str) -> bool {
        let mut tokens = self.tokens()[at..].iter();
        pattern.split(' ').all(|sign| tokens.next().is_some_and(|token| token.text == sign))
    }

    fn leftovers(&self, found: &mut Found) {
        for comment in &self.source.comments {
            for (offset, line) in comment.text.lines().enumerate() {
                let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                if let Some(word) = words.find(|word| ["TODO", "FIXME", "XXX"].contains(word)) {
                    found.push((
                        comment.line + offset,
                        format!("leftover {word}: do it or write it down elsewhere"),
                    ));
                }
            }
        }
        for (at, token) in self.tokens().iter().enumerate() {
            let is_macro =
                ["dbg", "todo", "unimplemented"].contains(&token.text) && self.reads(at + 1, "!");
            // This may be `a != b`, with a variable that has the name of the macro.
            if is_macro && !self.reads(at + 2, "=") {
                found.push((token.line, format!("leftover {}!", token.text)));
            }
        }
    }

    fn ignored_tests(&self, found: &mut Found) {
        for (at, token) in self.tokens().iter().enumerate() {
            let bare = self.reads(at, "# [ ignore ]");
            let conditional = token.text == "cfg_attr" && self.cfg_attr_ignores(at);
            if bare || conditional {
                found.push((
                    token.line,
                    "an ignored test says why: #[ignore = \"reason\"]".to_owned(),
                ));
            }
        }
    }

    fn cfg_attr_ignores(&self, at: usize) -> bool {
        let end = close_of(self.tokens(), at + 1);
        (at..end).any(|at| self.reads(at, ", ignore )") || self.reads(at, ", ignore ,"))
    }

    fn checkers_outside_the_facade(&self, krate: Option<&str>, found: &mut Found) {
        for token in self.tokens() {
            match token.text {
                "loom" | "shuttle" => {
                    found.push((token.line, format!("only crates/{FACADE} names {}", token.text)));
                }
                "model_shuttle" if krate == Some(ASYNC_FACADE) => {}
                "model_loom" | "model_shuttle" => found.push((
                    token.line,
                    format!("cfg({}) belongs into crates/{FACADE} and models only", token.text),
                )),
                _ => {}
            }
        }
    }

    fn threads(&self, found: &mut Found) {
        for at in self.production() {
            for start in ["spawn", "scope", "Builder"] {
                if self.reads(at, &format!("thread : : {start}")) {
                    found.push((self.tokens()[at].line, "this crate starts no thread".to_owned()));
                }
            }
        }
    }

    fn around_the_facade(&self, found: &mut Found) {
        for at in self.production() {
            let token = self.tokens()[at];
            if !["std", "core", "alloc"].contains(&token.text) || !self.reads(at + 1, ": :") {
                continue;
            }
            for name in self.first_names(at + 3) {
                if name.text == "sync" || name.text == "thread" {
                    let message =
                        format!("{}::{} goes around drystone-{FACADE}", token.text, name.text);
                    found.push((name.line, message));
                }
            }
        }
    }

    /// The name at `at`. For a group `{a::b, c}` there, the first name of each part.
    fn first_names(&self, at: usize) -> Vec<Token<'a>> {
        if !self.reads(at, "{") {
            return self.tokens().get(at).copied().into_iter().collect();
        }
        let mut names = Vec::new();
        let mut depth = 0_usize;
        for pair in self.tokens()[at..close_of(self.tokens(), at)].windows(2) {
            match pair[0].text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 1 && ["{", ","].contains(&pair[0].text) {
                names.push(pair[1]);
            }
        }
        names
    }
}

/// Line and message.
type Found = Vec<(usize, String)>;

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines on which `text` breaks a rule when it stands in `path`.
    fn broken(path: &str, text: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        RustFile::new(Path::new(path), text).check(false, &mut findings);
        findings.iter().map(|finding| finding.line).collect()
    }

    const POOL: &str = "crates/pool/src/lib.rs";

    #[test]
    fn the_core_takes_locks_and_threads_from_the_facade() {
        for text in [
            "use std::sync::Mutex;",
            "use std::{fs, sync::{Arc, Mutex}};",
            "use std::{thread};",
            "fn f() { std::thread::yield_now() }",
            "use core :: sync :: atomic::AtomicU64;",
            "use ::std::sync as s;",
            "#[cfg(not(test))] use std::sync::Arc;",
        ] {
            assert_eq!(broken(POOL, text), [1], "{text}");
        }
        for text in [
            "use drystone_sync::{Mutex, thread};",
            "use std::{fs, io::{sync, thread}};",
            "// std::sync\nconst A: &str = \"std::sync\";",
            "#[cfg(test)]\n#[allow(dead_code)]\nmod tests { use std::sync::Arc; fn f() { \
             std::thread::yield_now() } }",
            "#[cfg(all(test, unix))] use std::{sync::Arc};",
        ] {
            assert_eq!(broken(POOL, text), [0; 0], "{text}");
        }
        assert_eq!(broken(POOL, "#[cfg(test)]\nmod tests { fn f() {} }\nuse std::sync::Arc;"), [3]);
        assert_eq!(broken("crates/local/src/lib.rs", "use std::sync::Arc;"), [0; 0]);
        assert_eq!(broken("crates/pool/tests/a.rs", "use std::sync::Arc;"), [0; 0]);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_recognised() {
        let modules = |path: &str, text: &str| RustFile::new(Path::new(path), text).test_modules();
        let text = "#[cfg(test)] mod tests; mod other; #[cfg(test)] mod here { }";
        assert_eq!(modules("crates/a/src/lib.rs", text), [Path::new("crates/a/src/tests.rs")]);
        assert_eq!(modules("crates/a/src/b.rs", text), [Path::new("crates/a/src/b/tests.rs")]);
        let file = RustFile::new(Path::new("crates/pool/src/tests.rs"), "use std::sync::Arc;");
        let mut findings = Vec::new();
        file.check(true, &mut findings);
        assert_eq!(findings, []);
    }

    #[test]
    fn only_the_facade_names_the_checkers() {
        for text in [
            "use loom::sync::Mutex;",
            "shuttle::check_random(f, 1);",
            "#[cfg(model_loom)] fn f() {}",
        ] {
            assert_eq!(broken("crates/local/src/lib.rs", text), [1], "{text}");
            assert_eq!(broken("crates/sync/src/lib.rs", text), [0; 0], "{text}");
            assert_eq!(broken("models/tests/pool.rs", text), [0; 0], "{text}");
        }
    }

    #[test]
    fn the_pure_crates_start_no_thread() {
        for text in ["thread::spawn(f);", "std::thread::scope(f);", "thread::Builder::new();"] {
            assert_eq!(broken("crates/limits/src/lib.rs", text), [1], "{text}");
            assert_eq!(broken("crates/cli/src/lib.rs", text), [0; 0], "{text}");
        }
        assert_eq!(
            broken("crates/limits/src/lib.rs", "std::thread::available_parallelism();"),
            [0; 0]
        );
    }

    #[test]
    fn nothing_is_left_over() {
        for text in [
            "// TODO later",
            "/* FIXME(me) */",
            "//! XXX",
            "dbg!(1);",
            "todo!()",
            "unimplemented!(\"x\")",
        ] {
            assert_eq!(broken("xtask/src/main.rs", text), [1], "{text}");
        }
        assert_eq!(broken("xtask/src/main.rs", "/* a\n TODO */"), [2]);
        for text in ["// TODOS XXXX", "const A: &str = \"TODO\";", "if todo != 1 {}"] {
            assert_eq!(broken("xtask/src/main.rs", text), [0; 0], "{text}");
        }
    }

    #[test]
    fn an_ignored_test_says_why() {
        for text in ["#[ignore]", "# [ ignore ]", "#[cfg_attr(miri, ignore)]"] {
            assert_eq!(broken("models/tests/a.rs", text), [1], "{text}");
        }
        for text in ["#[ignore = \"needs root\"]", "#[cfg_attr(miri, ignore = \"slow\")]"] {
            assert_eq!(broken("models/tests/a.rs", text), [0; 0], "{text}");
        }
    }

    #[test]
    fn a_long_file_is_reported_and_a_longer_one_fails() {
        for (lines, expected) in [(400, (0, 0)), (401, (0, 1)), (800, (0, 1)), (801, (1, 0))] {
            let (mut findings, mut reports) = (Vec::new(), Vec::new());
            let text = "x\n".repeat(lines);
            RustFile::new(Path::new(POOL), &text).check_length(&mut findings, &mut reports);
            assert_eq!((findings.len(), reports.len()), expected, "{lines} lines");
        }
    }
}
