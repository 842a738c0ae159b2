//! Processes of one name together: workers that are replaced before one of them alone shows what it
//! leaks.
//!
//! What comes and goes in all of them is judged as if it were one process, with two differences.
//! What a process holds when it ends is not closed: nothing was given back, it is only not there
//! any more. And where one begins with more than the one before it, that is growth: it has
//! inherited it.
//!
//! What a process opens within the warm-up after its first look is left out, as all workers open
//! the same then.

use crate::growth::{AGES_MS, Came, Circumstances, Evidence, Flow, Growth};
use crate::ledger::{Changes, Permits};

/// Names that are kept; of those beyond, each process is judged alone.
const LINEAGES_MAX: usize = 32;

/// All names.
#[derive(Debug, Default)]
pub(crate) struct Lineages {
    lineages: Vec<Lineage>,
}

/// The processes of one name.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) name: Box<[u8]>,
    growth: Box<Growth>,
    /// Of the newest that began while it was watched: what it had at its first look.
    newest_began_with: Option<usize>,
    /// How many have ended.
    pub(crate) ended: u64,
}

/// A look at one process, for those of its name.
pub(crate) struct Look<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) at_ms: u64,
    pub(crate) warm_up_ms: u64,
    /// When the process was looked at for the first time.
    pub(crate) began_ms: u64,
    pub(crate) open: usize,
    pub(crate) changes: &'a Changes,
}

impl Lineages {
    pub(crate) fn add(&mut self, look: &Look<'_>, permits: &mut Permits) {
        let Some(lineage) = self.find_or_insert(look, permits) else { return };
        let mut flow = Flow::default();
        if look.changes.is_first {
            // One that was there when the watch began is no newer than any other.
            if look.began_ms > 0
                && let Some(before) = lineage.newest_began_with.replace(look.open)
            {
                let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                flow.gained = [narrow(look.open.saturating_sub(before)); _];
                flow.lost = [narrow(before.saturating_sub(look.open)); _];
            }
        } else {
            flow = look.changes.flow;
            let warm_ms = look.began_ms.saturating_add(look.warm_up_ms);
            let is_warm = |came: &&Came| came.at_ms >= warm_ms.saturating_add(AGES_MS[came.age]);
            look.changes.came.iter().filter(is_warm).for_each(|came| lineage.growth.came(*came));
            for (index, age_ms) in AGES_MS.into_iter().enumerate() {
                if look.at_ms < warm_ms.saturating_add(age_ms) {
                    (flow.gained[index], flow.lost[index]) = (0, 0);
                }
            }
        }
        if flow != Flow::default() {
            lineage.growth.add(look.at_ms, &flow);
        }
    }

    fn find_or_insert(&mut self, look: &Look<'_>, permits: &mut Permits) -> Option<&mut Lineage> {
        if let Some(known) = self.lineages.iter().position(|known| *known.name == *look.name) {
            return Some(&mut self.lineages[known]);
        }
        if self.lineages.len() == LINEAGES_MAX {
            return None;
        }
        let growth = permits.growth(look.at_ms, look.at_ms.saturating_add(look.warm_up_ms))?;
        self.lineages.push(Lineage {
            name: look.name.into(),
            growth,
            newest_began_with: None,
            ended: 0,
        });
        self.lineages.last_mut()
    }

    pub(crate) fn end(&mut self, name: &[u8]) {
        if let Some(known) = self.lineages.iter_mut().find(|known| *known.name == *name) {
            known.ended += 1;
        }
    }

    /// At every tick.
    pub(crate) fn judge(&mut self, at_ms: u64) {
        self.lineages
            .iter_mut()
            .for_each(|known| known.growth.judge(at_ms, Circumstances::default()));
    }

    /// Those that leak, and of which one has ended: the others are judged alone.
    pub(crate) fn leaks(&self) -> impl Iterator<Item = &Lineage> {
        self.lineages.iter().filter(|known| known.ended > 0 && known.growth.is_leak())
    }
}

impl Lineage {
    pub(crate) fn per_second(&self, at_ms: u64) -> f64 {
        self.growth.per_second(at_ms)
    }

    pub(crate) fn evidence(&self, at_ms: u64) -> Evidence {
        self.growth.evidence(at_ms)
    }
}
