//! Looks at targets, a bounded number of them in one tick. One process at a time; a large one takes
//! several ticks.

use crate::groups::Moment;
use crate::ledger::{Permits, Sighting};
use crate::lineages::Lineages;
use crate::pattern::without_deleted;
use crate::proc::{
    Position, ProcRoot, Process, Seen, WATCHING_MAX, Wanted, find_sockets, nearest_ceiling, scan,
};
use crate::{Error, Kind, ProcessKey};

use super::watched::Watched;

/// Of one scan; there may be more in `/proc`.
const FDS_MAX: usize = 256 << 10;
/// Of the tables of sockets, for one scan.
const TABLES_BYTES_MAX: u64 = 8 << 20;
/// So much of a table costs about as much as looking at one descriptor.
const TABLE_BYTES_PER_FD: u64 = 256;

/// How the scans are getting on.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    under_way: Option<UnderWay>,
    /// Who had the last scan: it is the others' turn.
    last: Option<ProcessKey>,
    /// What a tick took beyond what it might.
    debt: usize,
}

#[derive(Debug)]
struct UnderWay {
    key: ProcessKey,
    position: Position,
    seen: usize,
    sightings: Vec<Sighting>,
    sockets: Vec<Wanted>,
    /// Descriptors of inotify and epoll; bounded.
    watching: Vec<(Kind, i32)>,
}

impl Scanner {
    /// One tick's worth. `watched` is sorted by key.
    pub(crate) fn run(
        &mut self,
        root: &ProcRoot,
        watched: &mut [Watched],
        fds_max: usize,
        moment: Moment,
        permits: &mut Permits,
        lineages: &mut Lineages,
    ) {
        let mut left = fds_max.saturating_sub(self.debt);
        self.debt = self.debt.saturating_sub(fds_max);
        // Everyone once at most, also those that change all the time.
        for _ in 0..watched.len() {
            if left == 0 {
                return;
            }
            let Some((index, mut run)) = self.next(watched) else { return };
            let process = &mut watched[index];
            match run.go_on(root, process, left) {
                Ok((used, true)) => {
                    left = left.saturating_sub(used);
                    let is_cut = run.seen >= FDS_MAX;
                    let cost = run.finish(root, process, is_cut, moment, permits, lineages);
                    self.debt += cost.saturating_sub(left);
                    left = left.saturating_sub(cost);
                }
                Ok((_, false)) => {
                    self.under_way = Some(run);
                    return;
                }
                // That a process has gone, or does not let us look, is found when it is counted.
                Err(_) => process.groups.discard_scan(),
            }
        }
    }

    /// The scan that is under way, or else of the next process in turn that needs one.
    fn next(&mut self, watched: &mut [Watched]) -> Option<(usize, UnderWay)> {
        if let Some(run) = self.under_way.take()
            && let Ok(index) = watched.binary_search_by_key(&run.key, |process| process.key)
        {
            return Some((index, run));
        }
        let start =
            self.last.map_or(0, |last| watched.partition_point(|process| process.key <= last));
        let (before, after) = (0..start, start..watched.len());
        let (index, count) =
            after.chain(before).find_map(|index| Some((index, watched[index].unscanned()?)))?;
        let process = &mut watched[index];
        process.begin_scan(count);
        self.last = Some(process.key);
        let run = UnderWay {
            key: process.key,
            position: Position::default(),
            seen: 0,
            sightings: Vec::new(),
            sockets: Vec::new(),
            watching: Vec::new(),
        };
        Some((index, run))
    }
}

impl UnderWay {
    /// How many were looked at, and whether that was all.
    fn go_on(
        &mut self,
        root: &ProcRoot,
        watched: &mut Watched,
        fds_max: usize,
    ) -> Result<(usize, bool), Error> {
        let opened;
        let process = match &watched.handle {
            Some(process) => process,
            None => {
                opened = Process::open_known(root, self.key)?;
                &opened
            }
        };
        let before = self.seen;
        let fds_max = fds_max.min(FDS_MAX - self.seen);
        let Self { seen, sightings, sockets, watching, .. } = self;
        let tables = watched.tables().clone();
        let groups = &mut watched.groups;
        let next = scan(process, &tables, self.position, fds_max, |found: Seen<'_>| {
            *seen += 1;
            let target = match found.kind {
                Kind::DeletedFile | Kind::TmpFile => without_deleted(found.target),
                _ => found.target,
            };
            let (fd, is_first_table) = (found.fd, found.is_first_table);
            let mut sighting = Sighting::new(fd, is_first_table, target, found.kind == Kind::File);
            match found.inode {
                Some(inode) => {
                    let tag = u32::try_from(sightings.len()).expect("they are fewer than FDS_MAX");
                    sockets.push(Wanted { inode, fd, is_first_table, tag });
                }
                None => {
                    let is_watching =
                        is_first_table && matches!(found.kind, Kind::Inotify | Kind::Epoll);
                    if is_watching && watching.len() < WATCHING_MAX {
                        watching.push((found.kind, fd));
                    }
                    sighting.group = groups.add(found.kind, found.target, None);
                }
            }
            sightings.push(sighting);
        })?;
        let is_complete = next.is_none() || self.seen >= FDS_MAX;
        self.position = next.unwrap_or_default();
        Ok((self.seen - before, is_complete))
    }

    /// Finds out about the sockets. What that cost, in descriptors.
    fn finish(
        &mut self,
        root: &ProcRoot,
        watched: &mut Watched,
        is_cut: bool,
        moment: Moment,
        permits: &mut Permits,
        lineages: &mut Lineages,
    ) -> usize {
        let opened;
        let process = match &watched.handle {
            Some(process) => Some(process),
            None => {
                opened = Process::open_known(root, self.key).ok();
                opened.as_ref()
            }
        };
        let groups = &mut watched.groups;
        let Some(process) = process else {
            groups.discard_scan();
            return 0;
        };
        let sightings = &mut self.sightings;
        let searched =
            find_sockets(process, &mut self.sockets, TABLES_BYTES_MAX, |wanted, socket| {
                sightings[wanted.tag as usize].group =
                    groups.add(Kind::Socket, b"", socket.as_ref());
            });
        let ceilings =
            nearest_ceiling(root, process, &self.watching, watched.scanned(), watched.limit());
        watched.set_watching(std::mem::take(&mut self.watching), ceilings);
        let sightings = (!is_cut).then_some(&mut sightings[..]);
        watched.finish_scan(is_cut || searched.is_cut, sightings, moment, permits, lineages);
        usize::try_from(searched.bytes / TABLE_BYTES_PER_FD).unwrap_or(usize::MAX)
    }
}
