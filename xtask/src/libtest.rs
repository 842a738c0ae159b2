//! What libtest prints: how many tests passed, which ones failed, and what those printed.

/// The sums of the result lines of libtest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl TestCounts {
    pub(crate) fn parse(output: &str) -> Self {
        output.lines().filter_map(Self::parse_line).fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            ignored: sum.ignored + one.ignored,
        })
    }

    fn parse_line(line: &str) -> Option<Self> {
        // Not a prefix: with --nocapture a test may have left its own text on the line.
        let (_, rest) = line.split_once("test result: ")?;
        let (_, counts) = rest.split_once(". ")?;
        let number = |unit: &str| {
            let field = counts.split(';').map(str::trim).find(|field| field.ends_with(unit))?;
            field.split(' ').next()?.parse().ok()
        };
        Some(Self {
            passed: number(" passed")?,
            failed: number(" failed")?,
            ignored: number(" ignored")?,
        })
    }
}

/// The name in `test NAME ... FAILED`.
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// What libtest prints of the failed test `name`: the first lines below `---- NAME stdout ----`.
pub(crate) fn said_by(name: &str, output: &str, lines_max: usize) -> String {
    let head = format!("---- {name} stdout ----");
    let said = output.lines().skip_while(|line| *line != head).skip(1);
    let said = said.take_while(|line| !line.starts_with("---- ") && *line != "failures:");
    let said = said.filter(|line| !line.is_empty()).take(lines_max);
    std::iter::once(name).chain(said).collect::<Vec<_>>().join("\n    ")
}

/// Whether libtest has printed its result.
pub(crate) fn is_concluded(output: &str) -> bool {
    output.lines().any(|line| TestCounts::parse_line(line).is_some())
}

/// The sum of libtest's `running N tests`.
pub(crate) fn announced(output: &str) -> u64 {
    let counts = output.lines().filter_map(|line| {
        line.strip_prefix("running ")?.split_once(" test")?.0.parse::<u64>().ok()
    });
    counts.sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const OUTPUT: &str = "\
running 3 tests
test a_wall_stands ... ok
test a_stone_fits ... FAILED

failures:

---- a_stone_fits stdout ----
thread 'a_stone_fits' panicked at walls.rs:7:
too large

---- another stdout ----
failures:
    a_stone_fits
left over by a test test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out
test result: gibberish
running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn test_results_are_summed() {
        assert_eq!(TestCounts::parse(OUTPUT), TestCounts { passed: 3, failed: 1, ignored: 1 });
        assert_eq!(TestCounts::parse("nothing here"), TestCounts::default());
        assert_eq!(announced(OUTPUT), 5);
    }
}
