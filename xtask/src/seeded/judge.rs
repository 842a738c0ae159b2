//! Whether a run of a scenario has found the seeded bug.

use std::collections::BTreeSet;

use super::mutant::Mutant;
use crate::libtest::TestCounts;
use crate::models::scenario;
use crate::process::{Ending, Finished};

/// The `expect` of a bug that shows as a hang.
const EXPECT_TIMEOUT: &str = "timeout";

pub(super) struct Found {
    /// As printed in the output, or `-`.
    pub(super) schedules: String,
    pub(super) seconds: f64,
}

pub(super) fn judge(mutant: &Mutant, done: &Finished) -> Result<Found, String> {
    let found = || Found {
        schedules: schedules(&done.output).map_or("-".to_owned(), |count| count.to_string()),
        seconds: done.elapsed.as_secs_f64(),
    };
    match &done.ending {
        Ending::Success if TestCounts::parse(&done.output).passed == 0 => {
            Err(format!("there is no scenario {}", mutant.scenario))
        }
        Ending::Success => Err("NOT FOUND: the scenario passes with the bug in place".to_owned()),
        Ending::TimedOut(_) if mutant.expect == EXPECT_TIMEOUT => Ok(found()),
        Ending::TimedOut(limit) => {
            Err(format!("hung for {} s instead of failing", limit.as_secs()))
        }
        Ending::Failed(_) if done.output.contains("error: could not compile") => {
            Err("it does not build: not a finding".to_owned())
        }
        // The scenario's own name may contain the words that are expected of its message.
        Ending::Failed(_) if done.output.replace(&mutant.scenario, "").contains(&mutant.expect) => {
            Ok(found())
        }
        Ending::Failed(how) => Err(format!("failed ({how}), but not with `{}`", mutant.expect)),
    }
}

/// The unedited copy must have every scenario, and pass it.
pub(super) fn judge_control(done: &Finished, scenarios: &BTreeSet<&str>) -> Result<f64, String> {
    if let Some(how) = done.reason() {
        return Err(format!("a scenario fails without any bug ({how})"));
    }
    let ran = |name: &str| done.output.contains(&format!("test {name} ... "));
    let missing: Vec<&str> = scenarios.iter().copied().filter(|name| !ran(name)).collect();
    if !missing.is_empty() {
        return Err(format!("there is no scenario {}", missing.join(", ")));
    }
    let passed = TestCounts::parse(&done.output).passed;
    if !usize::try_from(passed).is_ok_and(|passed| passed == scenarios.len()) {
        return Err(format!("{} scenarios are named, {passed} passed", scenarios.len()));
    }
    Ok(done.elapsed.as_secs_f64())
}

/// The last `schedules: N` or `model: NAME CHECKER N schedules` of the output.
fn schedules(output: &str) -> Option<u64> {
    output.lines().rev().find_map(|line| {
        let plain =
            line.split_once("schedules: ").and_then(|(_, rest)| rest.split_whitespace().next());
        plain
            .and_then(|number| number.parse().ok())
            .or_else(|| scenario(line).map(|found| found.schedules))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::mutant::tests::mutant;
    use super::*;
    use crate::stage::minutes;

    fn verdict(mutant: &Mutant, ending: Ending, output: &str) -> Result<String, String> {
        let done = Finished { ending, elapsed: Duration::from_secs(1), output: output.to_owned() };
        judge(mutant, &done).map(|found| found.schedules)
    }

    fn exit_101() -> Ending {
        Ending::Failed("exit code 101".to_owned())
    }

    #[test]
    fn a_bug_is_found_by_its_message_only() {
        let mutant = mutant();
        let output = "test pool::no_deadlock ... \nschedules: 12\npanicked: deadlock; threads = 3";
        assert_eq!(verdict(&mutant, exit_101(), output), Ok("12".to_owned()));
        assert_eq!(verdict(&mutant, exit_101(), "deadlock"), Ok("-".to_owned()));
        for (ending, output, reason) in [
            (exit_101(), "test pool::no_deadlock ... FAILED", "but not with"),
            (exit_101(), "error: could not compile `deadlock`", "does not build"),
            (Ending::Success, "test result: ok. 1 passed; 0 failed; 0 ignored;", "NOT FOUND"),
            (Ending::Success, "test result: ok. 0 passed; 0 failed; 0 ignored;", "no scenario"),
            (Ending::TimedOut(minutes(2)), "deadlock", "hung for 120 s"),
        ] {
            let error = verdict(&mutant, ending, output).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_hang_is_found_only_where_it_is_expected() {
        let hang = Mutant { expect: "timeout".to_owned(), ..mutant() };
        assert_eq!(verdict(&hang, Ending::TimedOut(minutes(2)), ""), Ok("-".to_owned()));
        assert!(
            verdict(&hang, Ending::Success, "test result: ok. 1 passed; 0 failed; 0 ignored;")
                .is_err()
        );
    }

    #[test]
    fn schedules_are_read_in_both_forms() {
        assert_eq!(schedules("schedules: 3\nschedules: 41 so far"), Some(41));
        assert_eq!(schedules("model: a shuttle 7 schedules"), Some(7));
        assert_eq!(schedules("no number"), None);
    }

    #[test]
    fn the_control_must_run_every_scenario() {
        let control = |output: &str, ending| {
            let done = Finished { ending, elapsed: Duration::ZERO, output: output.to_owned() };
            judge_control(&done, &BTreeSet::from(["a", "b"])).map(|_| ())
        };
        let both = "test a ... ok\ntest b ... ok\n";
        let passed =
            |count: u64| format!("{both}test result: ok. {count} passed; 0 failed; 0 ignored;");
        assert_eq!(control(&passed(2), Ending::Success), Ok(()));
        assert_eq!(
            control("test a ... ok", Ending::Success),
            Err("there is no scenario b".to_owned())
        );
        assert_eq!(
            control(&passed(1), Ending::Success),
            Err("2 scenarios are named, 1 passed".to_owned())
        );
        assert!(control(&passed(2), exit_101()).is_err());
    }
}
