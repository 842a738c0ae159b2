//! What people and programs read: the table, the JSON and the refusals, word by word.

use drystone_limits::{Ask, Budget, Limit, PHYSICAL_MEMORY_SOURCE, Plan};

fn budget(memory_bytes: u64, source: &str, descriptors: u64) -> Budget {
    Budget {
        cpus: Limit::new(2, "CPU affinity and cgroup CPU quota"),
        memory_bytes: Limit::new(memory_bytes, source),
        descriptors: Limit::new(descriptors, "RLIMIT_NOFILE soft (ulimit -n)"),
    }
}

fn machine() -> Budget {
    budget(16 << 30, PHYSICAL_MEMORY_SOURCE, 1024)
}

fn refusal(ask: &Ask, budget: &Budget) -> String {
    Plan::new(ask, budget).expect_err("a refusal").to_string()
}

#[test]
fn the_table_shows_each_ceiling_and_how_it_is_spent() {
    let plan = Plan::new(&Ask::new(1 << 20, "1MiB"), &machine()).unwrap();
    assert_eq!(plan.to_string(), include_str!("snapshots/plan.txt"), "\n{plan}");
    assert_eq!(plan.lines().join("\n") + "\n", plan.to_string());
}

#[test]
fn a_tight_table_has_nothing_left() {
    let ask = Ask { workers: Some(2), ..Ask::new(1 << 20, "1MiB") };
    let tight = budget(39_321_600, "/sys/fs/cgroup/x/memory.max", 32);
    let plan = Plan::new(&ask, &tight).unwrap();
    assert_eq!(plan.to_string(), include_str!("snapshots/plan_tight.txt"), "\n{plan}");
}

#[test]
fn no_limit_is_printed_as_such() {
    let mut machine = machine();
    machine.descriptors.value = u64::MAX;
    let plan = Plan::new(&Ask::new(1 << 20, "1MiB"), &machine).unwrap().to_string();
    assert_eq!(plan.matches("unlimited").count(), 2, "{plan}");
}

#[test]
fn the_plan_is_json_with_plain_numbers() {
    let plan = Plan::new(&Ask::new(1 << 20, "1MiB"), &machine()).unwrap();
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["workers"], 2);
    assert_eq!(json["buffer_bytes"], 9 << 20);
    assert_eq!(json["memory_ceiling"], 256 << 20);
    assert_eq!(
        json["spends"][0],
        serde_json::json!({
            "resource": "memory", "use": "buffers (headroom for a tail, then data)",
            "count": 4, "unit": 9 << 20, "total": 36 << 20,
        })
    );
    assert_eq!(json["ceilings"][2]["resource"], "descriptors");
}

#[test]
fn a_refusal_names_the_line_to_change() {
    let ask = |memory| Ask { memory_bytes: memory, ..Ask::new(1 << 20, "1MiB") };
    assert_eq!(
        refusal(&ask(Some(20 << 20)), &machine()),
        "too little memory: 39321600 bytes are needed at least, but --memory allows 20971520; \
         try --memory 38MiB"
    );
    let group = budget(36 << 20, "/sys/fs/cgroup/x/memory.max", 1024);
    assert_eq!(
        refusal(&ask(None), &group),
        "too little memory: 39321600 bytes are needed at least, but /sys/fs/cgroup/x/memory.max \
         allows 37748736; try raise the memory limit of the group (/sys/fs/cgroup/x/memory.max) \
         to 38MiB, or --workers 1, or a store with a smaller --chunk (this one: 1MiB)"
    );
    assert_eq!(
        refusal(&ask(None), &budget(8 << 20, PHYSICAL_MEMORY_SOURCE, 1024)),
        "too little memory: 39321600 bytes are needed at least, but physical memory \
         (/proc/meminfo) allows 8388608; this machine is too small: 38MiB are needed"
    );
    assert_eq!(
        refusal(&ask(None), &budget(16 << 30, PHYSICAL_MEMORY_SOURCE, 20)),
        "too few file descriptors: 21 are needed at least, but RLIMIT_NOFILE soft (ulimit -n) \
         allows 20; run `ulimit -n 21` first, or try --workers 1"
    );
}
