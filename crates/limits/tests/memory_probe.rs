//! The memory ceiling, read from fixture trees: each is `/proc` and `/sys` of one kind of machine
//! or container.

use std::path::Path;

use drystone_limits::{Limit, PHYSICAL_MEMORY_SOURCE, Probe};

const MIB: u64 = 1 << 20;
/// `MemTotal` of the fixtures.
const PHYSICAL: u64 = 16 << 30;

fn memory(fixture: &str) -> Limit {
    let root = Path::new("tests/fixtures").join(fixture);
    Probe::new(&root).memory()
}

fn check(fixture: &str, value: u64, source: &str) {
    assert!(Path::new("tests/fixtures").join(fixture).is_dir(), "no fixture {fixture}");
    assert_eq!(memory(fixture), Limit::new(value, source), "{fixture}");
}

#[test]
fn v2_takes_the_minimum_over_the_whole_path() {
    check("v2", 512 * MIB, "/sys/fs/cgroup/system.slice/drystone.service/memory.max");
    check("v2_ancestor_is_lower", 300 * MIB, "/sys/fs/cgroup/a/b/memory.max");
}

#[test]
fn without_a_lower_limit_physical_memory_is_the_ceiling() {
    check("v2_max", PHYSICAL, PHYSICAL_MEMORY_SOURCE);
    check("v2_above_physical", PHYSICAL, PHYSICAL_MEMORY_SOURCE);
    check("v1_no_limit", PHYSICAL, PHYSICAL_MEMORY_SOURCE);
    check("no_cgroups", PHYSICAL, PHYSICAL_MEMORY_SOURCE);
}

#[test]
fn a_group_that_is_gone_leaves_its_ancestors() {
    check("v2_leaf_is_gone", 400 * MIB, "/sys/fs/cgroup/a/memory.max");
}

#[test]
fn a_mount_of_a_part_of_the_hierarchy_is_read_from_there() {
    check("v2_bind_mount", 700 * MIB, "/sys/fs/cgroup/memory.max");
    check(
        "v1_container",
        128 * MIB,
        "/sys/fs/cgroup/memory/memory.stat (hierarchical_memory_limit)",
    );
    check("v1_container_nested", 128 * MIB, "/sys/fs/cgroup/memory/memory.limit_in_bytes");
    check("v2_prefix_is_not_a_parent", 900 * MIB, "/sys/fs/cgroup/boxes/ab/memory.max");
}

#[test]
fn a_path_outside_the_mount_falls_back_to_the_mount_point() {
    check(
        "v1_container_of_another_namespace",
        128 * MIB,
        "/sys/fs/cgroup/memory/memory.stat (hierarchical_memory_limit)",
    );
    check("v2_namespace_above_root", 600 * MIB, "/sys/fs/cgroup/memory.max");
    check("v2_mount_above_namespace", 800 * MIB, "/sys/fs/cgroup/memory.max");
}

#[test]
fn steps_up_that_the_mount_makes_too_cancel_out() {
    check("v2_mount_one_above_namespace", 350 * MIB, "/sys/fs/cgroup/sibling/memory.max");
}

#[test]
fn an_escaped_mount_point_is_found() {
    check("v2_escaped_mount_point", 200 * MIB, "/mnt/control groups/a b/memory.max");
}

#[test]
fn v1_prefers_the_hierarchical_limit() {
    let source = "/sys/fs/cgroup/memory/jobs/one/memory.stat (hierarchical_memory_limit)";
    check("v1", 512 * MIB, source);
    check("v1_stat_ends_the_walk", 512 * MIB, source);
}

#[test]
fn v1_without_a_hierarchical_limit_walks_the_path() {
    check("v1_without_stat", 640 * MIB, "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes");
}

#[test]
fn a_hybrid_takes_memory_from_v1() {
    check(
        "hybrid",
        512 * MIB,
        "/sys/fs/cgroup/memory/jobs/one/memory.stat (hierarchical_memory_limit)",
    );
}

#[test]
fn of_two_hierarchies_the_lower_limit_counts() {
    check("hybrid_v2_is_lower", 256 * MIB, "/sys/fs/cgroup/unified/user.slice/memory.max");
    check(
        "hybrid_v1_is_lower",
        512 * MIB,
        "/sys/fs/cgroup/memory/jobs/one/memory.stat (hierarchical_memory_limit)",
    );
}

#[test]
fn missing_files_fall_back_to_the_customary_places() {
    check("no_mountinfo_v2", 450 * MIB, "/sys/fs/cgroup/a/memory.max");
    check(
        "no_mountinfo_v1",
        460 * MIB,
        "/sys/fs/cgroup/memory/a/memory.stat (hierarchical_memory_limit)",
    );
    check("no_cgroup_file", 470 * MIB, "/sys/fs/cgroup/memory.max");
    check("no_meminfo", 480 * MIB, "/sys/fs/cgroup/a/memory.max");
}

#[test]
fn garbage_sets_no_limit() {
    check("garbage", PHYSICAL, PHYSICAL_MEMORY_SOURCE);
}

#[test]
fn with_nothing_to_read_a_small_amount_is_assumed() {
    let assumed = memory("does/not/exist");
    assert_eq!(assumed.value, 256 * MIB);
    assert!(assumed.source.starts_with("assumed"), "{assumed:?}");
}
