//! The ceilings of the running test process: what can be said on any Linux machine.
//! One test only: raising the limit of open files changes the whole process.

use drystone_limits::{Budget, nofile, raise_nofile};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn ceilings_are_read_and_the_descriptor_limit_is_raised() {
    // Where soft and hard are equal from the start, nothing would be raised and nothing tested.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let before = nofile();
    assert_eq!(before.soft.value, 64);
    assert!(before.hard.value > 64, "run the tests with a hard limit above 64");
    let raised = raise_nofile().unwrap();
    assert_eq!((raised.before, raised.hard), (before.soft.value, before.hard.value));
    assert_eq!(raised.after, raised.hard, "the soft limit is the hard one now");

    let again = raise_nofile().unwrap();
    assert_eq!(
        (again.before, again.after),
        (raised.after, raised.after),
        "raising twice changes nothing"
    );

    let budget = Budget::detect();
    assert!(budget.cpus.value >= 1);
    assert!(budget.memory_bytes.value > 1 << 20, "{budget:?}");
    assert_eq!(budget.descriptors.value, raised.after);
    for limit in [&budget.cpus, &budget.memory_bytes, &budget.descriptors] {
        assert!(!limit.source.is_empty(), "{budget:?}");
    }
}
