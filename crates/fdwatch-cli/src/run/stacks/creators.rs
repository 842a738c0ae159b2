//! Which stack opened which descriptor: a table for each process, as its kernel table was filled.
//!
//! A close is not seen. So an entry may be stale, and callers ask for descriptors that they know to
//! be open: the last creator of a number is the creator of what is open there now.

use std::collections::HashMap;
use std::rc::Rc;

use super::StackId;

/// So many entries are kept over all processes: 4 MiB.
const ENTRIES_MAX: usize = 1 << 20;

/// Tables by process; those that a fork has copied are shared until one of both changes.
#[derive(Debug, Default)]
pub(super) struct Creators {
    tables: HashMap<u32, Rc<Table>>,
    /// Over all tables, a shared one counted once for each.
    entries: usize,
    /// Descriptors that were not noted, the bound being reached.
    dropped: u64,
}

/// By descriptor number.
type Table = Vec<Option<StackId>>;

impl Creators {
    pub(super) fn set(&mut self, process: u32, fd: u32, stack: StackId) {
        let table = self.tables.entry(process).or_default();
        let index = fd as usize;
        let grows = (index + 1).saturating_sub(table.len());
        if self.entries + grows > ENTRIES_MAX {
            self.dropped += 1;
            return;
        }
        self.entries += grows;
        let table = Rc::make_mut(table);
        if grows > 0 {
            table.resize(index + 1, None);
        }
        table[index] = Some(stack);
    }

    /// The stack that opened a descriptor; `None` for one that the process was born with, or that
    /// came in a way that is not traced.
    pub(super) fn of(&self, process: u32, fd: i32) -> Option<StackId> {
        let index = usize::try_from(fd).ok()?;
        *self.tables.get(&process)?.get(index)?
    }

    /// A fork: the child has what its parent has. The child may have run before we hear of it: what
    /// it has opened itself stays.
    pub(super) fn inherit(&mut self, parent: u32, child: u32) {
        let Some(theirs) = self.tables.get(&parent).map(Rc::clone) else { return };
        let own = self.forget(child);
        if self.entries + theirs.len() > ENTRIES_MAX {
            self.dropped += theirs.iter().flatten().count() as u64;
        } else {
            self.entries += theirs.len();
            self.tables.insert(child, theirs);
        }
        let opened = own.iter().flat_map(|own| (0_u32..).zip(own.iter()));
        for (fd, &stack) in opened {
            if let Some(stack) = stack {
                self.set(child, fd, stack);
            }
        }
    }

    /// An exec: only what is open stays known.
    pub(super) fn retain(&mut self, process: u32, open: impl Iterator<Item = i32>) {
        let Some(before) = self.forget(process) else { return };
        for fd in open {
            let index = usize::try_from(fd).unwrap_or(usize::MAX);
            if let Some(&Some(stack)) = before.get(index) {
                self.set(process, fd.unsigned_abs(), stack);
            }
        }
    }

    pub(super) fn is_empty(&self, process: u32) -> bool {
        !self.tables.contains_key(&process)
    }

    pub(super) fn forget(&mut self, process: u32) -> Option<Rc<Table>> {
        let table = self.tables.remove(&process)?;
        self.entries -= table.len();
        Some(table)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(number: u32) -> StackId {
        StackId(number)
    }

    #[test]
    fn the_last_creator_wins() {
        let mut creators = Creators::default();
        creators.set(1, 5, stack(10));
        creators.set(1, 3, stack(11));
        creators.set(1, 5, stack(12));
        assert_eq!(
            [3, 4, 5, 6, -1].map(|fd| creators.of(1, fd)),
            [Some(stack(11)), None, Some(stack(12)), None, None]
        );
        assert_eq!(creators.of(2, 5), None);
    }

    #[test]
    fn a_child_has_what_its_parent_has_and_goes_its_own_way() {
        let mut creators = Creators::default();
        creators.set(1, 3, stack(10));
        creators.set(1, 4, stack(11));
        creators.set(2, 4, stack(20));
        creators.inherit(1, 2);
        creators.set(1, 3, stack(12));
        assert_eq!([3, 4].map(|fd| creators.of(2, fd)), [Some(stack(10)), Some(stack(20))]);
        creators.set(2, 3, stack(21));
        assert_eq!(creators.of(1, 3), Some(stack(12)));
        assert_eq!(creators.entries, 10);
        creators.forget(1);
        creators.retain(2, [4, 9, -1].into_iter());
        assert_eq!([3, 4, 9].map(|fd| creators.of(2, fd)), [None, Some(stack(20)), None]);
        creators.forget(2);
        assert_eq!((creators.entries, creators.dropped()), (0, 0));
    }

    #[test]
    fn entries_are_bounded_and_what_is_dropped_is_counted() {
        let mut creators = Creators::default();
        let last = u32::try_from(ENTRIES_MAX).unwrap() - 1;
        creators.set(1, last, stack(1));
        creators.set(1, last + 1, stack(2));
        creators.set(2, 0, stack(3));
        creators.inherit(1, 3);
        assert_eq!((creators.entries, creators.dropped()), (ENTRIES_MAX, 3));
        assert_eq!(creators.of(1, i32::try_from(last).unwrap()), Some(stack(1)));
        creators.forget(1);
        creators.set(2, 0, stack(3));
        assert_eq!(creators.of(2, 0), Some(stack(3)));
    }
}
