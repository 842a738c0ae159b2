//! The arithmetic of the plan, at its boundaries.

use drystone_limits::constants::{BUFFER_DATA_BYTES, KIB, MIB, WRITER_CACHE_BYTES};
use drystone_limits::{Ask, Budget, Limit, Plan, PlanError, Resource, parse_bytes};

const CHUNKS: [u64; 8] = [0, 1, 4096, 4097, 64 * KIB, MIB, 8 * MIB + 1, 64 * MIB];

fn budget(cpus: u64, memory_bytes: u64, descriptors: u64) -> Budget {
    Budget {
        cpus: Limit::new(cpus, "test CPUs"),
        memory_bytes: Limit::new(memory_bytes, "/sys/fs/cgroup/x/memory.max"),
        descriptors: Limit::new(descriptors, "ulimit -n"),
    }
}

fn ask(workers: usize, memory_bytes: u64, chunk_bytes_max: u64) -> Ask {
    Ask {
        memory_bytes: Some(memory_bytes),
        workers: Some(workers),
        ..Ask::new(chunk_bytes_max, "test chunk")
    }
}

fn plan(workers: usize, memory_bytes: u64, chunk_bytes_max: u64) -> Result<Plan, PlanError> {
    Plan::new(&ask(workers, memory_bytes, chunk_bytes_max), &budget(4, u64::MAX, 1024))
}

fn check_sums(plan: &Plan) {
    let total = |resource| -> u64 {
        let rows = plan.spends.iter().filter(|spend| spend.resource == resource);
        rows.map(|spend| {
            assert_eq!(spend.total, spend.count * spend.unit, "{spend:?}");
            spend.total
        })
        .sum()
    };
    assert_eq!(total(Resource::Memory), plan.memory_total_bytes);
    assert_eq!(total(Resource::Descriptors), plan.descriptors_total);
    assert_eq!(total(Resource::Threads), plan.threads as u64);
    assert_eq!(total(Resource::Children), 0);
    assert!(plan.memory_total_bytes <= plan.memory_ceiling, "{plan}");
    assert!(plan.descriptors_total <= plan.descriptors_ceiling, "{plan}");
    // The rows of the table add up to what the fields say.
    let by_hand = plan.buffers as u64 * plan.buffer_bytes
        + plan.readers as u64 * plan.reader_cache_bytes
        + plan.writer_cache_bytes
        + plan.commit_queue_bytes
        + plan.threads as u64 * 256 * KIB
        + plan.connections as u64 * 64 * KIB
        + plan.transfers as u64 * (256 + 512) * KIB
        + if plan.connections > 0 { 32 * MIB + (2 * 256 + 6 * 96) * KIB } else { 0 }
        + if plan.connections > 0 { plan.ingests as u64 * 832 * KIB } else { 0 }
        + plan.transfers as u64 / 4 * 256 * KIB
        + if plan.tls { plan.connections as u64 * 80 * KIB } else { 0 }
        + 20 * MIB;
    assert_eq!(by_hand, plan.memory_total_bytes, "{plan}");
    let by_hand = 3 + plan.segment_writers + plan.segment_readers + 3 * (plan.readers + 1);
    let server = if plan.connections > 0 { plan.connections + 9 } else { 0 };
    let by_hand = by_hand + plan.walk_depth_max + 2 + 4 + server;
    assert_eq!(by_hand as u64, plan.descriptors_total, "{plan}");
}

fn check_shape(plan: &Plan, workers: usize, chunk_bytes_max: u64) {
    assert_eq!((plan.workers, plan.segment_writers, plan.threads), (workers, workers, workers + 4));
    assert!((2..=workers + 2).contains(&plan.buffers), "{plan}");
    assert_eq!(plan.headroom_bytes, chunk_bytes_max);
    let data = plan.buffer_bytes - plan.headroom_bytes;
    assert!(data >= MIB.max(chunk_bytes_max) && data.is_multiple_of(4 * KIB), "{plan}");
    assert!((2 * MIB..=8 * MIB).contains(&plan.writer_cache_bytes), "{plan}");
    assert!((1..=8).contains(&plan.readers), "{plan}");
    assert!(
        (2..=8).contains(&plan.segment_readers) && (2..=8).contains(&plan.walk_depth_max),
        "{plan}"
    );
}

#[test]
fn the_stated_need_fits_exactly_and_one_byte_less_does_not() {
    for workers in [1, 2, 3, 7, 8, 63, 64] {
        for chunk in CHUNKS {
            let Err(PlanError::MemoryTooSmall { needed_bytes, .. }) = plan(workers, 0, chunk)
            else {
                panic!("a plan without memory")
            };
            let least = plan(workers, needed_bytes, chunk).unwrap();
            check_sums(&least);
            check_shape(&least, workers, chunk);
            assert_eq!((least.memory_total_bytes, least.buffers), (needed_bytes, 2));
            let refused = plan(workers, needed_bytes - 1, chunk).unwrap_err();
            let PlanError::MemoryTooSmall { needed_bytes: again, ceiling_bytes, .. } = refused
            else {
                panic!("{refused}")
            };
            assert_eq!((again, ceiling_bytes), (needed_bytes, needed_bytes - 1));
            check_sums(&plan(workers, needed_bytes + 1, chunk).unwrap());
        }
    }
}

#[test]
fn more_memory_never_gives_less_and_little_is_left_unused() {
    for workers in [1, 2, 5, 64] {
        for chunk in CHUNKS {
            let mut before: Option<Plan> = None;
            for step in 0..400 {
                let Ok(plan) = plan(workers, step * (MIB + 4321), chunk) else {
                    assert!(before.is_none(), "more memory, and now a refusal");
                    continue;
                };
                check_sums(&plan);
                check_shape(&plan, workers, chunk);
                if let Some(before) = &before {
                    assert!(plan.buffers >= before.buffers, "{before}{plan}");
                }
                let remains = plan.memory_ceiling - plan.memory_total_bytes;
                if plan.buffers < workers + 2 {
                    // Another buffer of the least size, with the least cache, would not have
                    // fitted.
                    let least = chunk + MIB.max(chunk).next_multiple_of(4 * KIB);
                    let could_be = plan.buffers as u64 * (plan.buffer_bytes - least)
                        + plan.writer_cache_bytes
                        - 2 * MIB
                        + plan.commit_queue_bytes
                        - 4 * MIB;
                    assert!(remains + could_be < least, "{plan}");
                } else if plan.buffer_bytes - chunk < BUFFER_DATA_BYTES.max(chunk) {
                    assert!(remains < (plan.buffers as u64 + 1) * 4 * KIB, "{plan}");
                }
                before = Some(plan);
            }
        }
    }
}

#[test]
fn with_plenty_everything_is_as_wanted() {
    let plan = plan(2, 256 * MIB, MIB).unwrap();
    assert_eq!((plan.buffers, plan.buffer_bytes), (4, 9 * MIB));
    assert_eq!((plan.readers, plan.writer_cache_bytes), (3, WRITER_CACHE_BYTES));
    assert_eq!((plan.segment_readers, plan.walk_depth_max), (8, 8));
    // 4 × 9 buffers, 3 × 2 + 8 caches, 16 queue, 6 × ¼ stacks, 20 fixed
    assert_eq!(plan.memory_total_bytes, (36 + 6 + 8 + 16 + 20) * MIB + 6 * 256 * KIB);
}

#[test]
fn the_data_part_shrinks_first_then_the_queue_the_cache_and_the_number_of_buffers() {
    // 2 workers, 1 MiB chunks: 27.5 MiB besides buffers, the writer's cache and the commit queue.
    let besides = 27 * MIB + 512 * KIB;
    let shape = |memory| {
        let plan = plan(2, memory, MIB).unwrap();
        (plan.buffers, plan.buffer_bytes, plan.commit_queue_bytes, plan.writer_cache_bytes)
    };
    assert_eq!(shape(besides + 24 * MIB + 36 * MIB), (4, 9 * MIB, 16 * MIB, 8 * MIB));
    assert_eq!(shape(besides + 24 * MIB + 36 * MIB - 1), (4, 9 * MIB - 4 * KIB, 16 * MIB, 8 * MIB));
    assert_eq!(shape(besides + 24 * MIB + 8 * MIB), (4, 2 * MIB, 16 * MIB, 8 * MIB));
    assert_eq!(shape(besides + 24 * MIB + 8 * MIB - 1), (4, 2 * MIB, 16 * MIB - 4 * KIB, 8 * MIB));
    assert_eq!(shape(besides + 12 * MIB + 8 * MIB), (4, 2 * MIB, 4 * MIB, 8 * MIB));
    assert_eq!(shape(besides + 12 * MIB + 8 * MIB - 1), (4, 2 * MIB, 4 * MIB, 8 * MIB - 4 * KIB));
    assert_eq!(shape(besides + 6 * MIB + 8 * MIB), (4, 2 * MIB, 4 * MIB, 2 * MIB));
    assert_eq!(shape(besides + 6 * MIB + 8 * MIB - 1).0, 3);
    assert_eq!(shape(besides + 6 * MIB + 4 * MIB), (2, 2 * MIB, 4 * MIB, 2 * MIB));
}

#[test]
fn the_lowest_of_ask_default_and_budget_is_the_ceiling() {
    let ceiling = |asked, there: u64| {
        let ask = Ask { memory_bytes: asked, ..ask(2, 0, MIB) };
        let plan = Plan::new(&ask, &budget(2, there, 1024)).unwrap();
        let source =
            plan.ceilings.iter().find(|c| c.resource == Resource::Memory).unwrap().source.clone();
        (plan.memory_ceiling / MIB, source)
    };
    let there = "at most 1 GiB: /sys/fs/cgroup/x/memory.max";
    assert_eq!(ceiling(None, 1024 * MIB), (256, format!("the default of --memory; {there}")));
    assert_eq!(ceiling(Some(512 * MIB), 1024 * MIB), (512, format!("--memory; {there}")));
    assert_eq!(
        ceiling(Some(512 * MIB), 511 * MIB),
        (511, "/sys/fs/cgroup/x/memory.max".to_owned())
    );
    assert_eq!(ceiling(None, 100 * MIB), (100, "/sys/fs/cgroup/x/memory.max".to_owned()));
}

#[test]
fn workers_are_cpus_unless_asked_and_always_1_to_64() {
    let workers = |asked, cpus| {
        let ask = Ask { memory_bytes: Some(2048 * MIB), workers: asked, ..Ask::new(MIB, "1MiB") };
        Plan::new(&ask, &budget(cpus, u64::MAX, 1024)).unwrap().workers
    };
    assert_eq!(workers(None, 3), 3);
    assert_eq!(workers(Some(5), 3), 5);
    assert_eq!((workers(Some(0), 3), workers(None, 0)), (1, 1));
    assert_eq!((workers(Some(64), 3), workers(Some(65), 3), workers(None, u64::MAX)), (64, 64, 64));
}

#[test]
fn two_workers_fit_in_32_descriptors() {
    let ask = Ask { workers: Some(2), ..Ask::new(MIB, "1MiB") };
    let plan = Plan::new(&ask, &budget(2, u64::MAX, 32)).unwrap();
    check_sums(&plan);
    check_shape(&plan, 2, MIB);
    assert_eq!(plan.descriptors_total, 32);
    assert_eq!((plan.readers, plan.segment_readers, plan.walk_depth_max), (3, 7, 2));
}

#[test]
fn descriptors_fit_exactly_and_one_less_is_refused_with_the_line_to_change() {
    for workers in [1_usize, 2, 16, 64] {
        let with = |descriptors| {
            Plan::new(&ask(workers, 2048 * MIB, MIB), &budget(2, u64::MAX, descriptors))
        };
        let needed = 19 + workers as u64;
        let least = with(needed).unwrap();
        check_sums(&least);
        assert_eq!((least.readers, least.segment_readers, least.walk_depth_max), (1, 2, 2));
        assert_eq!(least.descriptors_total, needed);

        let refused = with(needed - 1).unwrap_err();
        assert!(refused.to_string().contains(&format!("`ulimit -n {needed}`")), "{refused}");
        assert_eq!(refused.to_string().contains("--workers"), workers > 1, "{refused}");
        assert!(matches!(refused, PlanError::DescriptorsTooFew { needed: n, ceiling, .. }
            if n == needed && ceiling == needed - 1));

        for descriptors in needed..needed + 60 {
            let plan = with(descriptors).unwrap();
            check_sums(&plan);
            let all = plan.walk_depth_max == 8;
            assert!(
                all || plan.descriptors_total == descriptors,
                "a descriptor is left unused: {plan}"
            );
        }
    }
}

#[test]
fn absurd_chunks_are_refused_not_overflowed() {
    for chunk in [u64::MAX, u64::MAX - 1, u64::MAX / 2, 1 << 62] {
        for memory in [0, 256 * MIB, u64::MAX] {
            let refused = plan(2, memory, chunk).unwrap_err();
            assert!(matches!(refused, PlanError::MemoryTooSmall { .. }), "{refused}");
        }
    }
}

/// The value that follows a flag in a hint.
fn remedy(hint: &str, flag: &str) -> Option<u64> {
    let value = hint.split_once(flag)?.1.split([' ', ',']).find(|word| !word.is_empty())?;
    Some(parse_bytes(value).expect("a hint that can be typed"))
}

#[test]
fn every_remedy_that_a_refusal_names_is_enough() {
    let mut followed = [0; 2];
    for workers in [1, 2, 8, 64] {
        for memory in [0, MIB, 36 * MIB, 37 * MIB, 40 * MIB, 60 * MIB, 100 * MIB] {
            for (chunk, descriptors) in
                [(4096, 1024), (MIB, 1024), (64 * MIB, 1024), (MIB, 26), (MIB, 83)]
            {
                let ask = ask(workers, memory, chunk);
                let budget = budget(2, u64::MAX, descriptors);
                let Err(PlanError::MemoryTooSmall { hint, .. }) = Plan::new(&ask, &budget) else {
                    continue;
                };
                let bytes = remedy(&hint, "--memory").expect("the budget allows it");
                Plan::new(&Ask { memory_bytes: Some(bytes), ..ask.clone() }, &budget).unwrap();
                followed[0] += 1;
                if let Some(fewer) = remedy(&hint, "--workers") {
                    let fewer = Some(usize::try_from(fewer).unwrap());
                    Plan::new(&Ask { workers: fewer, ..ask.clone() }, &budget).unwrap();
                    followed[1] += 1;
                }
                if hint.contains("--chunk") {
                    Plan::new(&Ask { chunk_bytes_max: 4096, ..ask }, &budget).unwrap();
                }
            }
        }
    }
    assert!(followed.iter().all(|&count| count > 3), "hardly anything was tried: {followed:?}");
}

fn serving(memory_bytes: u64, descriptors: u64, connections: u64) -> Result<Plan, PlanError> {
    let ask = Ask {
        memory_bytes: Some(memory_bytes),
        workers: Some(2),
        connections: Some(connections),
        ..Ask::new(4 * MIB, "cdc")
    };
    Plan::new(&ask, &budget(2, u64::MAX, descriptors))
}

#[test]
fn a_server_gives_up_connections_before_buffers() {
    let roomy = serving(256 * MIB, 1024, 512).unwrap();
    check_sums(&roomy);
    assert_eq!(
        (roomy.connections, roomy.transfers, roomy.buffers, roomy.ingests),
        (512, 40, 12, 4)
    );
    let few = serving(256 * MIB, 256, 512).unwrap();
    check_sums(&few);
    assert_eq!((few.connections, few.buffers), (128, 12));
    let tight = serving(130 * MIB, 1024, 512).unwrap();
    check_sums(&tight);
    assert!(
        tight.connections < 512 && tight.buffers >= 6 && tight.ingests == tight.buffers / 3,
        "{tight:?}"
    );
    assert!(tight.blocking_threads > tight.transfers);
}

#[test]
fn memory_buys_uploads_and_downloads_at_a_time() {
    let counts = |memory_bytes| {
        let plan = serving(memory_bytes, 1024, 512).unwrap();
        check_sums(&plan);
        // Each upload may have two buffers, and what is left is for downloads.
        assert_eq!(plan.reads, plan.buffers - 2 * plan.ingests, "{plan}");
        (plan.buffers, plan.ingests)
    };
    assert_eq!(counts(256 * MIB), (12, 4));
    assert_eq!(counts(512 * MIB), (24, 8));
    assert_eq!(counts(1024 * MIB), (48, 16));
    assert_eq!(counts(64 * 1024 * MIB), (192, 64), "more would wait for the disk");
}

/// A document of 16 MiB fits, and so do two buffers where these are larger.
#[test]
fn a_request_may_leave_a_document_or_two_buffers_in_the_spool() {
    let slot = |chunk_bytes_max| {
        let ask = Ask {
            memory_bytes: Some(4096 * MIB),
            connections: Some(64),
            ..Ask::new(chunk_bytes_max, "chunk")
        };
        let plan = Plan::new(&ask, &budget(2, u64::MAX, 1024)).unwrap();
        (plan.spool_slot_bytes, plan.buffer_bytes)
    };
    assert_eq!(slot(MIB), (16 * MIB, 5 * MIB));
    let (slot, buffer) = slot(32 * MIB);
    assert_eq!(slot, 2 * buffer);
    let without_clients = plan(2, 256 * MIB, MIB).unwrap();
    assert_eq!((without_clients.spool_slot_bytes, without_clients.reads), (0, 0));
}

/// TLS has a row, and takes it from the buffers; also when the ceilings change while the server
/// runs.
#[test]
fn what_tls_holds_is_counted() {
    let ask =
        |tls| Ask { workers: Some(2), connections: Some(512), tls, ..Ask::new(4 * MIB, "cdc") };
    let plan = |tls| Plan::new(&ask(tls), &budget(2, u64::MAX, 1024)).unwrap();
    let row = |plan: &Plan| {
        plan.spends.iter().find(|row| row.use_.starts_with("TLS")).map(|row| (row.count, row.unit))
    };
    assert_eq!(row(&plan(false)), None);
    let tls = plan(true);
    check_sums(&tls);
    assert_eq!((tls.connections, row(&tls)), (512, Some((512, 80 << 10))));
    assert!(tls.buffers < plan(false).buffers);
    let fewer = tls.with_serving(Some(100), None).unwrap();
    check_sums(&fewer);
    assert_eq!(row(&fewer), Some((100, 80 << 10)));
}

#[test]
fn a_server_that_cannot_have_the_least_is_told_what_to_change() {
    let least = (1..512).find_map(|mib| serving(mib * MIB, 1024, 512).ok()).unwrap();
    check_sums(&least);
    assert_eq!((least.connections, least.transfers, least.ingests), (16, 8, 1));
    let refused = serving(least.memory_total_bytes - MIB, 1024, 512).unwrap_err();
    assert!(matches!(refused, PlanError::MemoryTooSmall { .. }), "{refused}");
    assert!(refused.to_string().contains("--memory"), "{refused}");
    let refused = serving(256 * MIB, 40, 512).unwrap_err();
    assert!(refused.to_string().contains("ulimit -n"), "{refused}");
}

#[test]
fn whatever_there_is_a_server_stays_below_it() {
    for memory in [64, 96, 128, 192, 256, 1024, 8192] {
        for descriptors in [64, 128, 256, 1024, 65_536] {
            for connections in [0, 1, 100, 10_000, u64::MAX] {
                if let Ok(plan) = serving(memory * MIB, descriptors, connections) {
                    check_sums(&plan);
                    assert!(plan.buffers >= 2 * plan.ingests && plan.ingests >= 1, "{plan:?}");
                    assert!(plan.connections >= 16 && plan.transfers >= 8, "{plan:?}");
                }
            }
        }
    }
}

/// Each upload that has buffers has a cutter thread of its own, and with many workers there are
/// more buffers.
#[test]
fn there_is_a_cutter_thread_for_each_upload_that_has_buffers() {
    let mut seen = Vec::new();
    for workers in [1, 2, 10, 11, 16, 64] {
        for memory in [192, 8192] {
            let ask = Ask { connections: Some(64), ..ask(workers, memory * MIB, MIB) };
            let Ok(plan) = Plan::new(&ask, &budget(2, u64::MAX, 4096)) else { continue };
            check_sums(&plan);
            let cutters = plan.spends.iter().find(|row| row.use_.starts_with("cutters")).unwrap();
            assert_eq!(
                cutters.count, plan.ingests as u64,
                "{workers} workers, {memory} MiB: {plan}"
            );
            let others = 3 + 2 * workers + plan.blocking_threads;
            assert_eq!(plan.threads, others + plan.ingests, "{plan}");
            seen.push(plan.ingests);
        }
    }
    assert!(seen.iter().any(|ingests| *ingests > 4) && seen.contains(&4), "{seen:?}");
}
