//! Call stacks, each kept once.

use std::collections::HashMap;
use std::rc::Rc;

use super::StackId;
use super::made_code::MadeName;

/// So many frames of a stack are kept, from the innermost on.
pub(super) const FRAMES_MAX: usize = 32;
/// So many different stacks are kept: at most 4 MiB.
pub(super) const STACKS_MAX: usize = 8192;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    pub(super) code: Code,
    /// The address after a call, not of an instruction that runs.
    pub(super) is_return: bool,
}

/// Where the code of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Code {
    /// In a module, at an address as the module's file counts.
    File { module: u32, address: u64 },
    /// Made at run time and named by its maker. Which of its instructions it is would make many
    /// stacks of one.
    Made(MadeName),
    /// Made at run time; an address means nothing to a reader.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Interner {
    ids: HashMap<Rc<[Frame]>, StackId>,
    stacks: Vec<Rc<[Frame]>>,
    /// How often a stack was not kept, the bound being reached.
    dropped: u64,
}

impl Interner {
    /// [`StackId::OTHER`] when there is no room for another one.
    pub(super) fn intern(&mut self, frames: &[Frame]) -> StackId {
        let frames = &frames[..frames.len().min(FRAMES_MAX)];
        if let Some(&id) = self.ids.get(frames) {
            return id;
        }
        if self.stacks.len() >= STACKS_MAX {
            self.dropped += 1;
            return StackId::OTHER;
        }
        let id = StackId(u32::try_from(self.stacks.len()).expect("the bound is far lower"));
        let kept: Rc<[Frame]> = frames.into();
        self.stacks.push(Rc::clone(&kept));
        self.ids.insert(kept, id);
        id
    }

    /// Innermost first; `None` for [`StackId::OTHER`].
    pub(super) fn frames(&self, id: StackId) -> Option<&[Frame]> {
        self.stacks.get(id.0 as usize).map(|frames| &**frames)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(address: u64) -> Frame {
        Frame { code: Code::File { module: 0, address }, is_return: true }
    }

    #[test]
    fn equal_stacks_are_kept_once() {
        let mut interner = Interner::default();
        let first = interner.intern(&[frame(1), frame(2)]);
        let second = interner.intern(&[frame(1)]);
        assert_ne!(first, second);
        assert_eq!(interner.intern(&[frame(1), frame(2)]), first);
        assert_eq!(interner.frames(first), Some(&[frame(1), frame(2)][..]));
        assert_eq!(interner.frames(StackId::OTHER), None);
        assert_eq!(interner.stacks.len(), 2);
    }

    #[test]
    fn stacks_and_frames_are_bounded() {
        let mut interner = Interner::default();
        let deep: Vec<Frame> = (0..=FRAMES_MAX as u64).map(frame).collect();
        let id = interner.intern(&deep);
        assert_eq!(interner.frames(id).unwrap().len(), FRAMES_MAX);
        for address in 1..STACKS_MAX as u64 {
            interner.intern(&[frame(address)]);
        }
        assert_eq!((interner.stacks.len(), interner.dropped()), (STACKS_MAX, 0));
        assert_eq!(interner.intern(&[frame(u64::MAX)]), StackId::OTHER);
        // One that is known is still found.
        assert_eq!(interner.intern(&deep), id);
        assert_eq!((interner.stacks.len(), interner.dropped()), (STACKS_MAX, 1));
    }
}
