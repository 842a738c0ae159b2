//! Leased memory: a [`Lease`] is the unique, writable view of a part of one pooled buffer; freezing
//! it gives a [`Slice`], a shared view that cannot change any more. The buffer goes back to its
//! pool when its last view is dropped.
//!
//! This is the one module of the crate with `unsafe`. The invariant that carries it: **the ranges
//! of all live leases of a buffer are disjoint from each other and from the ranges of all its
//! slices**. It starts true (one lease covers everything), and `split_to` (two halves) and `freeze`
//! (the lease is consumed) keep it true.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use drystone_sync::Arc;

use crate::Permit;
use crate::buffer::Shelf;

/// Buffers from this size on ask for huge pages.
const HUGE_FROM_BYTES: usize = 4 << 20;

/// The memory of one buffer: a `Box<[u8]>` taken apart, so that disjoint parts of it can be lent
/// mutably.
pub(crate) struct Memory {
    start: *mut u8,
    len: usize,
}

impl Memory {
    /// Zeroed pages. The kernel backs a page with memory when it is first written, not before.
    pub(crate) fn zeroed(len: usize) -> Self {
        let start = Box::into_raw(vec![0u8; len].into_boxed_slice()).cast::<u8>();
        let memory = Self { start, len };
        memory.prefer_huge_pages();
        memory
    }

    /// Asks for pages of 2 MiB where there is room for several. With pages of 4 KiB a fresh buffer
    /// costs a page fault for each of them, and every copy through it needs more address
    /// translations.
    fn prefer_huge_pages(&self) {
        const PAGE_BYTES: usize = 4096;
        if self.len < HUGE_FROM_BYTES {
            return;
        }
        let skipped = self.start.align_offset(PAGE_BYTES);
        let len = (self.len - skipped) / PAGE_BYTES * PAGE_BYTES;
        // SAFETY: the range lies inside this allocation (`skipped` is less than a page, the
        // allocation has many). The advice changes how the kernel backs it, not what it
        // contains. A refusal costs speed only.
        let _ = unsafe {
            rustix::mm::madvise(
                self.start.add(skipped).cast(),
                len,
                rustix::mm::Advice::LinuxHugepage,
            )
        };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let whole = std::ptr::slice_from_raw_parts_mut(self.start, self.len);
        // SAFETY: `start` and `len` come from `Box::into_raw` of a boxed slice of this length, and
        // `Memory` is neither `Clone` nor `Copy`, so the box is rebuilt exactly once.
        drop(unsafe { Box::from_raw(whole) });
    }
}

// SAFETY: `Memory` owns its bytes like the `Box<[u8]>` it was made from. Only the views of this
// module share the raw pointer, and their ranges are disjoint or read-only (see the module's
// invariant).
unsafe impl Send for Memory {}
// SAFETY: as above; `Memory` itself offers no access to its bytes.
unsafe impl Sync for Memory {}

/// One buffer that is lent: its memory, and the permit for it. Dropped with the last view.
pub(crate) struct Allocation {
    /// `Some` until the drop puts it back on the shelf.
    memory: Option<Memory>,
    start: *mut u8,
    shelf: Arc<Shelf>,
    /// Released after `drop` has shelved the memory. So the thread that gets the permit next finds
    /// the memory on the shelf.
    _permit: Permit,
}

// SAFETY: `start` is a copy of the pointer inside `memory`, which is `Send`; see there.
unsafe impl Send for Allocation {}
// SAFETY: as above: only `Lease` and `Slice` read through `start`, under the module's invariant.
unsafe impl Sync for Allocation {}

impl Drop for Allocation {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.shelf.put(memory);
        }
    }
}

/// The unique, writable view of a part of a pooled buffer.
pub struct Lease {
    home: Arc<Allocation>,
    range: Range<usize>,
}

/// The views to be joined do not touch, or belong to different buffers.
#[derive(Debug, thiserror::Error)]
#[error("the two views are not neighbours in one buffer")]
pub struct NotAdjacent;

impl Lease {
    pub(crate) fn new(memory: Memory, shelf: Arc<Shelf>, permit: Permit) -> Self {
        let (start, len) = (memory.start, memory.len);
        let home = Arc::new(Allocation { memory: Some(memory), start, shelf, _permit: permit });
        Self { home, range: 0..len }
    }

    /// Splits off the first `len` bytes; `self` keeps the rest.
    ///
    /// # Panics
    /// When `len` is larger than the view.
    #[must_use]
    pub fn split_to(&mut self, len: usize) -> Lease {
        assert!(len <= self.range.len(), "split past the end of a lease");
        let middle = self.range.start + len;
        let head = Lease { home: Arc::clone(&self.home), range: self.range.start..middle };
        self.range.start = middle;
        head
    }

    /// Gives up writing. The bytes can now be shared, and do not change while a view of them lives.
    #[must_use]
    pub fn freeze(self) -> Slice {
        Slice { home: self.home, range: self.range }
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies inside the allocation (established by `new`, kept by `split_to`),
        // the memory is initialised (zeroed), lives as long as `home`, and no other view
        // covers it (module invariant).
        unsafe {
            std::slice::from_raw_parts(self.home.start.add(self.range.start), self.range.len())
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes this the only access through the only view of
        // the range.
        unsafe {
            std::slice::from_raw_parts_mut(self.home.start.add(self.range.start), self.range.len())
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({:?})", self.range)
    }
}

/// A shared, immutable view of a part of a pooled buffer; cheap to clone.
#[derive(Clone)]
pub struct Slice {
    home: Arc<Allocation>,
    range: Range<usize>,
}

impl Slice {
    /// The view of a part of this view.
    ///
    /// # Panics
    /// When `part` does not lie inside the view.
    #[must_use]
    pub fn part(&self, part: Range<usize>) -> Slice {
        assert!(
            part.start <= part.end && part.end <= self.range.len(),
            "a part past the end of a slice"
        );
        let range = self.range.start + part.start..self.range.start + part.end;
        Slice { home: Arc::clone(&self.home), range }
    }

    /// Joins this view and the one that follows it directly in the same buffer.
    ///
    /// # Errors
    /// [`NotAdjacent`] when `next` is elsewhere.
    pub fn join(self, next: &Slice) -> Result<Slice, NotAdjacent> {
        if self.home.start != next.home.start || self.range.end != next.range.start {
            return Err(NotAdjacent);
        }
        Ok(Slice { home: self.home, range: self.range.start..next.range.end })
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range was a lease's (or a part of one), lies inside the allocation and is
        // initialised; that lease was consumed, so nothing writes to the range while `home`
        // is alive (module invariant).
        unsafe {
            std::slice::from_raw_parts(self.home.start.add(self.range.start), self.range.len())
        }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({:?})", self.range)
    }
}
