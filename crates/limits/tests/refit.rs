//! Other ceilings for the clients of a server that runs.

use drystone_limits::constants::MIB;
use drystone_limits::{Ask, Budget, Limit, Plan, PlanError};

fn running(memory_bytes: u64, descriptors: u64) -> Plan {
    let ask = Ask {
        memory_bytes: Some(memory_bytes),
        workers: Some(2),
        connections: Some(64),
        ..Ask::new(4 * MIB, "cdc")
    };
    let budget = Budget {
        cpus: Limit::new(2, "test CPUs"),
        memory_bytes: Limit::new(u64::MAX, "/sys/fs/cgroup/x/memory.max"),
        descriptors: Limit::new(descriptors, "ulimit -n"),
    };
    Plan::new(&ask, &budget).expect("a plan that fits")
}

/// A setting is refused with the most that fits. That number fits exactly, and one more does not.
fn check_refused(
    plan: &Plan,
    connections: Option<u64>,
    transfers: Option<u64>,
    expected: &str,
    within: &str,
) -> u64 {
    let refused = plan.with_serving(connections, transfers).expect_err("a refusal");
    let PlanError::ServingTooLarge { setting, most, .. } = refused else { panic!("{refused}") };
    assert_eq!(setting, expected);
    let text = refused.to_string();
    assert!(
        text.contains(within) && text.contains(&format!("set {setting} to {most} or less")),
        "{text}"
    );
    let again = |number| match setting {
        "connections" => plan.with_serving(Some(number), transfers),
        _ => plan.with_serving(connections, Some(number)),
    };
    again(most).expect("the most that fits");
    again(most + 1).expect_err("one more than fits");
    most
}

#[test]
fn the_store_part_stays_and_the_rows_follow() {
    let plan = running(272 * MIB, 1024);
    let other = plan.with_serving(Some(200), Some(50)).unwrap();
    assert_eq!((other.connections, other.transfers, other.blocking_threads), (200, 50, 58));
    // The ceilings for clients are counted as a start counts them. The rest stays as it was.
    assert_eq!(other.with_serving(Some(64), Some(plan.transfers as u64)), Ok(plan.clone()));
    let row = |use_: &str| {
        other.spends.iter().filter(|row| row.use_ == use_).map(|row| row.count).collect()
    };
    let rows: [Vec<u64>; 3] =
        [row("connections"), row("answers that leave in large pieces"), row("requests")];
    assert_eq!(rows, [vec![200, 200], vec![50], vec![58]]);
    let mut same = other;
    (same.connections, same.transfers, same.blocking_threads) =
        (plan.connections, plan.transfers, plan.blocking_threads);
    (same.threads, same.memory_total_bytes, same.descriptors_total) =
        (plan.threads, plan.memory_total_bytes, plan.descriptors_total);
    same.spends = plan.spends.clone();
    assert_eq!(same, plan);
}

#[test]
fn what_does_not_fit_is_refused_with_the_setting_and_the_most_that_fits() {
    let plan = running(8192 * MIB, 2048);
    let most =
        check_refused(&plan, Some(16_384), None, "connections", "2048 descriptors (ulimit -n)");
    assert!(most > 512, "{most}");
    check_refused(&plan, Some(1000), Some(501), "transfers", "half of connections = 1000");
    check_refused(&plan, Some(64), Some(33), "transfers", "half of connections = 64");
    let tight = running(176 * MIB, 65_536);
    check_refused(&tight, Some(16_384), None, "connections", "176 MiB of memory (--memory");
    check_refused(&tight, Some(300), Some(150), "transfers", "176 MiB of memory (--memory");
}

/// The last byte and the last descriptor may be used, with TLS and without.
#[test]
fn what_fits_exactly_is_granted() {
    for tls in [false, true] {
        let asked = |memory_bytes, connections| Ask {
            memory_bytes: Some(memory_bytes),
            workers: Some(2),
            connections: Some(connections),
            transfers: Some(8),
            tls,
            ..Ask::new(4 * MIB, "cdc")
        };
        let budget = |descriptors| Budget {
            cpus: Limit::new(2, "test CPUs"),
            memory_bytes: Limit::new(u64::MAX, "/sys/fs/cgroup/x/memory.max"),
            descriptors: Limit::new(descriptors, "ulimit -n"),
        };
        let fits_memory = |memory_bytes| {
            let plan = Plan::new(&asked(memory_bytes, 64), &budget(65_536)).expect("it fits");
            plan.has_room_for(plan.connections, plan.transfers).then_some(plan)
        };
        let roomy = fits_memory(256 * MIB).expect("it has what it runs with");
        let larger = roomy.with_serving(Some(100), Some(8)).expect("there is room for more");
        // The same process with exactly as much memory as the larger one takes, and a byte less.
        let within = |memory_ceiling| {
            let mut plan = roomy.clone();
            plan.memory_ceiling = memory_ceiling;
            (plan.has_room_for(100, 8), plan.with_serving(Some(100), Some(8)).is_ok())
        };
        assert_eq!(within(larger.memory_total_bytes), (true, true), "TLS: {tls}");
        assert_eq!(within(larger.memory_total_bytes - 1), (false, false), "TLS: {tls}");
        let within = |descriptors_ceiling| {
            let mut plan = roomy.clone();
            plan.descriptors_ceiling = descriptors_ceiling;
            plan.has_room_for(100, 8)
        };
        assert!(within(larger.descriptors_total), "TLS: {tls}");
        assert!(!within(larger.descriptors_total - 1), "TLS: {tls}");
        assert_eq!(larger.tls, tls);
    }
}

#[test]
fn what_is_not_asked_for_is_as_much_as_fits() {
    let roomy = running(8192 * MIB, 65_536).with_serving(None, None).unwrap();
    assert_eq!((roomy.connections, roomy.transfers), (512, 40));
    let few = roomy.with_serving(Some(20), None).unwrap();
    assert_eq!((few.connections, few.transfers), (20, 10), "transfers follow the connections down");
    assert_eq!(few.with_serving(None, None), Ok(roomy), "and up");
    let tight = running(176 * MIB, 65_536);
    let most = check_refused(&tight, Some(300), Some(150), "transfers", "memory");
    let fitted = tight.with_serving(Some(300), None).unwrap();
    assert_eq!(fitted.transfers as u64, most.min(40));
}
