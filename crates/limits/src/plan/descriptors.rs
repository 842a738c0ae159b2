//! How descriptors are spent.
//!
//! What gives way first when they are short: open directories of a walk (opened again), then cached
//! segments (opened again), then reading connections (readers take turns). Then the plan is
//! refused.

use super::constants::*;
use super::serving::Serving;
use super::{PlanError, Resource, Spend, readers_wanted};
use crate::Limit;

/// Descriptors in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DescriptorPlan {
    pub(super) segment_writers: u64,
    pub(super) segment_readers: u64,
    pub(super) readers: u64,
    pub(super) walk_depth: u64,
    pub(super) serving: Serving,
}

impl DescriptorPlan {
    fn least(workers: u64, serving: Serving) -> Self {
        Self {
            segment_writers: workers,
            segment_readers: SEGMENT_READERS_MIN,
            readers: READERS_MIN,
            walk_depth: WALK_DEPTH_MIN,
            serving,
        }
    }

    /// The best that fits below the ceiling: the least, then more of what matters most.
    pub(super) fn fit(workers: u64, serving: Serving, ceiling: &Limit) -> Result<Self, PlanError> {
        let mut plan = Self::least(workers, serving);
        let needed = plan.total();
        let Some(mut remains) = ceiling.value.checked_sub(needed) else {
            return Err(too_few(workers, serving, needed, ceiling));
        };
        let mut grow = |from: u64, to: u64, unit: u64| {
            let more = (to - from).min(remains / unit);
            remains -= more * unit;
            from + more
        };
        plan.readers = grow(plan.readers, readers_wanted(workers), DESCRIPTORS_PER_CONNECTION);
        plan.segment_readers = grow(plan.segment_readers, SEGMENT_READERS, 1);
        plan.walk_depth = grow(plan.walk_depth, WALK_DEPTH, 1);
        Ok(plan)
    }

    pub(super) fn total(&self) -> u64 {
        super::spend::total(&self.spends(), Resource::Descriptors)
    }

    pub(super) fn spends(&self) -> Vec<Spend> {
        let row = |use_: &str, count, unit| Spend::new(Resource::Descriptors, use_, count, unit);
        let mut spends = vec![
            row("standard streams", DESCRIPTORS_STANDARD, 1),
            row("segments being written", self.segment_writers, 1),
            row("segments being read", self.segment_readers, 1),
            row("database, readers", self.readers, DESCRIPTORS_PER_CONNECTION),
            row("database, writer", 1, DESCRIPTORS_PER_CONNECTION),
            row("open directories of a walk", self.walk_depth, 1),
            row("input and output files", DESCRIPTORS_INPUT_OUTPUT, 1),
            row("directory handles and spare", DESCRIPTORS_SPARE, 1),
        ];
        spends.extend(self.serving.descriptor_spends());
        spends
    }
}

fn too_few(workers: u64, serving: Serving, needed: u64, ceiling: &Limit) -> PlanError {
    let fewer = (1..workers)
        .rev()
        .find(|&fewer| DescriptorPlan::least(fewer, serving).total() <= ceiling.value);
    let mut hint = format!("run `ulimit -n {needed}` first");
    if let Some(fewer) = fewer {
        hint.push_str(&format!(", or try --workers {fewer}"));
    }
    PlanError::DescriptorsTooFew {
        needed,
        ceiling: ceiling.value,
        ceiling_source: ceiling.source.clone(),
        hint,
    }
}
