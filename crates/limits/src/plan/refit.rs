//! Other ceilings for the clients of a server that runs.
//!
//! Buffers, caches, workers and database connections were taken at the start and stay. Connections,
//! transfers and the threads that carry them are counted anew. A start gives up connections until
//! the rest fits. A running server does not: a setting that was asked for by name and does not fit
//! is refused, because the administrator who changed it reads the answer.

use super::constants::*;
use super::descriptors::DescriptorPlan;
use super::memory::MemoryPlan;
use super::serving::{Serving, transfers_most};
use super::{Plan, PlanError, Resource};
use crate::format_bytes;

/// The plan with other serving ceilings.
pub(super) fn refit(
    plan: &Plan,
    connections: Option<u64>,
    transfers: Option<u64>,
) -> Result<Plan, PlanError> {
    let all = |connections: u64| -> Vec<Serving> {
        let most = transfers_most(connections);
        let transfers = match transfers {
            Some(asked) => asked..=asked,
            None => TRANSFERS_MIN..=TRANSFERS.min(most),
        };
        let within = transfers.rev().filter(|transfers| *transfers <= most);
        within.map(|transfers| Serving { connections, transfers, tls: plan.tls }).collect()
    };
    let tried = match connections {
        Some(asked) => vec![asked],
        None => Serving::candidates(Some(CONNECTIONS), None, plan.tls)
            .iter()
            .map(|fewer| fewer.connections)
            .collect(),
    };
    let mut servings = tried.iter().flat_map(|connections| all(*connections));
    match servings.find(|serving| passed(plan, *serving).is_none()) {
        Some(serving) => Ok(with(plan, serving)),
        None => Err(refusal(plan, connections, transfers)),
    }
}

pub(super) fn has_room_for(plan: &Plan, connections: u64, transfers: u64) -> bool {
    passed(plan, Serving { connections, transfers, tls: plan.tls }).is_none()
}

/// The refusal: which of the two settings was too large, and the largest value that fits. Called
/// only when nothing fits.
fn refusal(plan: &Plan, connections: Option<u64>, transfers: Option<u64>) -> PlanError {
    // The least of both always fits: the process runs with no less.
    let least = Serving { connections: CONNECTIONS_MIN, transfers: TRANSFERS_MIN, tls: plan.tls };
    let serving = Serving { connections: connections.unwrap_or(CONNECTIONS_MIN), ..least };
    if let Some(resource) = passed(plan, serving) {
        let fits = |connections: &u64| {
            passed(plan, Serving { connections: *connections, ..least }).is_none()
        };
        let most = (CONNECTIONS_MIN..=CONNECTIONS_MAX).rev().find(fits).unwrap_or(CONNECTIONS_MIN);
        return too_large(plan, "connections", serving.connections, most, resource);
    }
    let asked = transfers.unwrap_or(TRANSFERS_MIN);
    let most = transfers_most(serving.connections);
    let fits =
        |transfers: &u64| passed(plan, Serving { transfers: *transfers, ..serving }).is_none();
    let room = (TRANSFERS_MIN..=TRANSFERS_MAX).rev().find(fits).unwrap_or(TRANSFERS_MIN);
    if most < asked && most <= room {
        return PlanError::ServingTooLarge {
            setting: "transfers",
            asked,
            most,
            ceiling: format!("half of connections = {}", serving.connections),
            hint: ", or raise connections".to_owned(),
        };
    }
    let resource =
        passed(plan, Serving { transfers: asked, ..serving }).unwrap_or(Resource::Memory);
    too_large(plan, "transfers", asked, room, resource)
}

fn too_large(
    plan: &Plan,
    setting: &'static str,
    asked: u64,
    most: u64,
    resource: Resource,
) -> PlanError {
    let source = plan.ceilings.iter().find(|ceiling| ceiling.resource == resource);
    let source = source.map_or("", |ceiling| ceiling.source.as_str());
    let (ceiling, hint) = match resource {
        Resource::Memory => (
            format!("{} of memory", format_bytes(plan.memory_ceiling)),
            ", or raise memory and restart",
        ),
        _ => (
            format!("{} descriptors", plan.descriptors_ceiling),
            ", or raise the limit of open files and restart",
        ),
    };
    let ceiling = format!("{ceiling} ({source})");
    PlanError::ServingTooLarge { setting, asked, most, ceiling, hint: hint.to_owned() }
}

/// The first ceiling that `serving` would pass.
fn passed(plan: &Plan, serving: Serving) -> Option<Resource> {
    if memory(plan, serving).total_bytes() > plan.memory_ceiling {
        return Some(Resource::Memory);
    }
    (descriptors(plan, serving).total() > plan.descriptors_ceiling).then_some(Resource::Descriptors)
}

fn with(plan: &Plan, serving: Serving) -> Plan {
    let (memory, descriptors) = (memory(plan, serving), descriptors(plan, serving));
    let workers = plan.workers as u64;
    Plan::assembled(workers, memory, descriptors, plan.memory_ceiling, plan.ceilings.clone())
}

fn memory(plan: &Plan, serving: Serving) -> MemoryPlan {
    MemoryPlan {
        buffers: plan.buffers as u64,
        headroom_bytes: plan.headroom_bytes,
        data_bytes: plan.buffer_bytes - plan.headroom_bytes,
        readers: plan.readers as u64,
        writer_cache_bytes: plan.writer_cache_bytes,
        commit_queue_bytes: plan.commit_queue_bytes,
        workers: plan.workers as u64,
        serving,
    }
}

fn descriptors(plan: &Plan, serving: Serving) -> DescriptorPlan {
    DescriptorPlan {
        segment_writers: plan.segment_writers as u64,
        segment_readers: plan.segment_readers as u64,
        readers: plan.readers as u64,
        walk_depth: plan.walk_depth_max as u64,
        serving,
    }
}
