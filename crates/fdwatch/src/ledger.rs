//! Which descriptors are open, since when, and so what was opened and closed between two looks.
//!
//! A descriptor is known by its number and by what it refers to: a socket or a pipe by its inode, a
//! file by its path. One that takes another's place and is the same in both goes unnoticed, which
//! is no growth either.
//!
//! Sixteen bytes for each open descriptor, out of a number of permits that all processes share; a
//! process for which there are too few is judged by its counts alone.

use std::time::Duration;

use crate::growth::{AGES_MS, Came, Circumstances, Evidence, Flow, Growth};

/// A descriptor as a look has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sighting {
    /// Its number and its table.
    key: u32,
    /// What it refers to, scrambled, and whether that is a file with a name.
    tag: u32,
    /// See [`Group`](crate::groups).
    pub(crate) group: u8,
}

/// The group of what fits into no other: coming there from another group, or leaving it for one,
/// says nothing.
pub(crate) const REST_ID: u8 = u8::MAX;
/// Set in the keys of tables that single threads have to themselves.
const OTHER_TABLE: u32 = 1 << 31;
/// Set in the tags of files with a name.
const NAMED_FILE: u32 = 1;

impl Sighting {
    pub(crate) fn new(fd: i32, is_first_table: bool, target: &[u8], is_named_file: bool) -> Self {
        let key = fd.unsigned_abs() | if is_first_table { 0 } else { OTHER_TABLE };
        // FNV-1a.
        let hash = target.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let tag = (hash ^ (hash >> 32)) as u32 & !NAMED_FILE | u32::from(is_named_file);
        Self { key, tag, group: 0 }
    }
}

/// Times in here are in sixteen milliseconds: two years fit.
const UNIT_MS: u64 = 16;

/// A descriptor that is open.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sighting: Sighting,
    /// When it was first seen; 0: at the first look.
    born: u32,
    /// When it came into its group, in the same way.
    joined: u32,
}

/// A bound on what is remembered, for all processes together.
#[derive(Debug)]
pub(crate) struct Permits {
    /// Series of kinds and groups: about 3 KiB each.
    pub(crate) series: usize,
    /// Descriptors.
    pub(crate) entries: usize,
    /// [`Growth`]s of processes, groups and names.
    pub(crate) growths: usize,
}

impl Default for Permits {
    fn default() -> Self {
        Self { series: 64, entries: 96 << 10, growths: 128 }
    }
}

impl Permits {
    pub(crate) fn growth(&mut self, began_ms: u64, warm_ms: u64) -> Option<Box<Growth>> {
        self.growths = self.growths.checked_sub(1)?;
        Some(Box::new(Growth::new(began_ms, warm_ms)))
    }
}

/// The open descriptors of one process, and how they came and went.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By key and tag.
    entries: Vec<Entry>,
    growth: Option<Box<Growth>>,
    began_ms: Option<u64>,
    looked_ms: u64,
    are_lone_files: bool,
    /// Permits ran out once: what it knew is old.
    is_given_up: bool,
    /// Descriptors came and went for which there was no [`Growth`].
    is_blind: bool,
}

/// What a look has changed.
pub(crate) struct Changes {
    pub(crate) flow: Flow,
    /// Those that came to an age.
    pub(crate) came: Vec<Came>,
    /// The same in their groups.
    pub(crate) came_of_groups: Vec<(u8, Came)>,
    /// By group.
    pub(crate) of_groups: Vec<(u8, Flow)>,
    /// It was the first look.
    pub(crate) is_first: bool,
}

impl Ledger {
    /// Takes in a whole look; `seen` is left in another order. `None` where there were too few
    /// permits.
    pub(crate) fn look(
        &mut self,
        at_ms: u64,
        warm_up_ms: u64,
        seen: &mut [Sighting],
        permits: &mut Permits,
    ) -> Option<Changes> {
        if self.is_given_up {
            return None;
        }
        let more = seen.len().saturating_sub(self.entries.capacity());
        if more > permits.entries {
            self.give_up(permits);
            return None;
        }
        seen.sort_unstable();
        let Some(began_ms) = self.began_ms else {
            self.began_ms = Some(at_ms);
            self.looked_ms = at_ms;
            let entries = seen.iter().map(|&sighting| Entry { sighting, born: 0, joined: 0 });
            self.replace(entries.collect(), permits);
            return Some(Changes::first());
        };
        let mut merge = Merge {
            at_ms,
            began_ms,
            looked_ms: self.looked_ms,
            changes: Changes { is_first: false, ..Changes::first() },
        };
        let entries = merge.run(&self.entries, seen);
        self.replace(entries, permits);
        self.looked_ms = at_ms;
        let changes = merge.changes;
        if changes.flow != Flow::default() && self.growth.is_none() {
            self.growth = permits.growth(began_ms, began_ms.saturating_add(warm_up_ms));
            self.is_blind = self.growth.is_none();
        }
        if let Some(growth) = &mut self.growth {
            changes.came.iter().for_each(|came| growth.came(*came));
            growth.add(at_ms, &changes.flow);
        }
        self.are_lone_files = self.find_lone_files();
        Some(changes)
    }

    fn replace(&mut self, entries: Vec<Entry>, permits: &mut Permits) {
        permits.entries += self.entries.capacity();
        self.entries = entries;
        self.entries.shrink_to_fit();
        // It was asked for before; a look that takes more than that is an allocator's rounding.
        permits.entries = permits.entries.saturating_sub(self.entries.capacity());
    }

    /// Whether most of what came and stayed are files with names of their own, opened once each.
    fn find_lone_files(&self) -> bool {
        let kept = self.entries.iter().filter(|entry| entry.born > 0);
        let mut tags: Vec<u32> = kept.map(|entry| entry.sighting.tag).collect();
        tags.sort_unstable();
        let alone = tags
            .chunk_by(|a, b| a == b)
            .filter(|same| same.len() == 1 && same[0] & NAMED_FILE != 0);
        2 * alone.count() > tags.len()
    }

    pub(crate) fn judge(&mut self, at_ms: u64) {
        let circumstances = self.circumstances(false);
        if let Some(growth) = &mut self.growth {
            growth.judge(at_ms, circumstances);
        }
    }

    pub(crate) fn circumstances(&self, has_ended: bool) -> Circumstances {
        Circumstances { are_lone_files: self.are_lone_files, has_ended }
    }

    pub(crate) fn growth(&self) -> Option<&Growth> {
        self.growth.as_deref()
    }

    pub(crate) fn are_lone_files(&self) -> bool {
        self.are_lone_files
    }

    /// Whether it sees what comes and goes: if not, there are only counts to judge by.
    pub(crate) fn is_seeing(&self) -> bool {
        self.began_ms.is_some() && !self.is_given_up && !self.is_blind
    }

    /// When the first look was.
    pub(crate) fn began_ms(&self) -> Option<u64> {
        self.began_ms
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A look that did not see all: nothing can be told from it, nor from the next.
    pub(crate) fn give_up(&mut self, permits: &mut Permits) {
        self.end(permits);
        self.is_given_up = true;
    }

    /// Gives the permits of the descriptors back, and keeps the growth.
    pub(crate) fn end(&mut self, permits: &mut Permits) {
        permits.entries += self.entries.capacity();
        self.entries = Vec::new();
    }

    /// Gives the growth's permit back.
    pub(crate) fn forget(&mut self, permits: &mut Permits) {
        permits.growths += usize::from(self.growth.take().is_some());
    }
}

/// One process alone, for simulations.
impl Ledger {
    /// Takes in what is open: numbers and what they refer to, and whether that is a file with a
    /// name.
    pub fn observe(
        &mut self,
        at: Duration,
        warm_up: Duration,
        open: impl IntoIterator<Item = (i32, u64, bool)>,
    ) {
        let of = |(fd, id, is_file): (i32, u64, bool)| {
            Sighting::new(fd, true, &id.to_le_bytes(), is_file)
        };
        let mut seen: Vec<Sighting> = open.into_iter().map(of).collect();
        let at_ms = crate::growth::milliseconds(at);
        let warm_up_ms = crate::growth::milliseconds(warm_up);
        self.look(
            at_ms,
            warm_up_ms,
            &mut seen,
            &mut Permits { series: 0, entries: usize::MAX / 2, growths: 1 },
        );
    }

    /// Whether it is a leak by now; to be asked at every tick.
    pub fn is_leaking(&mut self, at: Duration) -> bool {
        self.judge(crate::growth::milliseconds(at));
        self.growth().is_some_and(Growth::is_leak)
    }

    /// Whether it would be one if the process had ended now.
    pub fn is_leaking_at_end(&self, at: Duration) -> bool {
        let at_ms = crate::growth::milliseconds(at);
        self.growth().is_some_and(|growth| growth.at_end(at_ms, self.circumstances(true)))
    }

    /// What was opened and closed since the warm-up.
    pub fn evidence(&self, at: Duration) -> Evidence {
        let at_ms = crate::growth::milliseconds(at);
        self.growth().map_or_else(Evidence::default, |growth| growth.evidence(at_ms))
    }
}

/// Two looks side by side.
struct Merge {
    at_ms: u64,
    began_ms: u64,
    looked_ms: u64,
    changes: Changes,
}

impl Changes {
    fn first() -> Self {
        let flow = Flow::default();
        Self {
            flow,
            came: Vec::new(),
            came_of_groups: Vec::new(),
            of_groups: Vec::new(),
            is_first: true,
        }
    }
}

impl Merge {
    fn run(&mut self, old: &[Entry], seen: &[Sighting]) -> Vec<Entry> {
        let now = ((self.at_ms - self.began_ms) / UNIT_MS).clamp(1, u64::from(u32::MAX)) as u32;
        let mut merged = Vec::with_capacity(seen.len());
        let mut old = old.iter().peekable();
        let identity = |sighting: &Sighting| (sighting.key, sighting.tag);
        for sighting in seen {
            while let Some(gone) =
                old.next_if(|entry| identity(&entry.sighting) < identity(sighting))
            {
                self.close(gone);
            }
            let same = old.next_if(|entry| identity(&entry.sighting) == identity(sighting));
            merged.push(match same {
                Some(entry) => self.keep(*entry, sighting.group, now),
                None => {
                    self.changes.flow.gained[0] += 1;
                    self.group(sighting.group).gained[0] += 1;
                    Entry { sighting: *sighting, born: now, joined: now }
                }
            });
        }
        old.for_each(|gone| self.close(gone));
        merged
    }

    fn keep(&mut self, mut entry: Entry, group: u8, now: u32) -> Entry {
        let came = self.came(entry.born);
        self.changes.came.extend(came);
        if entry.sighting.group == group {
            let came = self.came(entry.joined).map(|came| (group, came));
            self.changes.came_of_groups.extend(came);
            return entry;
        }
        if entry.sighting.group != REST_ID && group != REST_ID {
            let lost = self.lost(entry.joined);
            self.group(entry.sighting.group).add(&lost);
            self.group(group).gained[0] += 1;
            entry.joined = now;
        }
        entry.sighting.group = group;
        entry
    }

    /// The ages that one has come to between the two looks.
    fn came(&self, since: u32) -> impl Iterator<Item = Came> + use<> {
        let born_ms = self.began_ms + u64::from(since) * UNIT_MS;
        let (before_ms, now_ms) = (self.looked_ms, self.at_ms);
        let is_known = since > 0;
        AGES_MS.into_iter().enumerate().skip(1).filter_map(move |(age, age_ms)| {
            let at_ms = born_ms + age_ms;
            (is_known && before_ms < at_ms && at_ms <= now_ms).then_some(Came { age, at_ms })
        })
    }

    fn close(&mut self, entry: &Entry) {
        let lost = self.lost(entry.born);
        self.changes.flow.add(&lost);
        let lost = self.lost(entry.joined);
        self.group(entry.sighting.group).add(&lost);
    }

    /// One less of every age that it had come to.
    fn lost(&self, since: u32) -> Flow {
        let age = self.age_ms(since, self.looked_ms);
        Flow { lost: AGES_MS.map(|age_ms| u32::from(age_ms <= age)), ..Flow::default() }
    }

    /// Of what was there at the first look, the least that it can be.
    fn age_ms(&self, since: u32, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.began_ms + u64::from(since) * UNIT_MS)
    }

    fn group(&mut self, group: u8) -> &mut Flow {
        let index = match self.changes.of_groups.binary_search_by_key(&group, |(known, _)| *known) {
            Ok(index) => index,
            Err(place) => {
                self.changes.of_groups.insert(place, (group, Flow::default()));
                place
            }
        };
        &mut self.changes.of_groups[index].1
    }
}

const _: () = assert!(size_of::<Entry>() <= 20);
