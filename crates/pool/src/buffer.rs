//! A fixed number of equal buffers, allocated on first use and kept to be used again.

use drystone_sync::{Arc, Mutex};

use crate::lease::Memory;
use crate::{AcquireError, Lease, Owner, Permits, Usage};

/// Buffers of `buffer_bytes` each, never more than `buffers` of them, lent first come, first served
/// (see [`Permits`]).
#[derive(Clone)]
pub struct BufferPool {
    permits: Permits,
    shelf: Arc<Shelf>,
}

/// Memory that is not lent. The buffer that came back last is lent first, because it is the one
/// that is still in the CPU's cache.
pub(crate) struct Shelf {
    /// A leaf lock; never held together with the permits' lock.
    memories: Mutex<Vec<Memory>>,
    buffer_bytes: usize,
}

impl Shelf {
    pub(crate) fn put(&self, memory: Memory) {
        self.memories.lock().push(memory);
    }

    fn take(&self) -> Memory {
        let shelved = self.memories.lock().pop();
        shelved.unwrap_or_else(|| Memory::zeroed(self.buffer_bytes))
    }
}

impl BufferPool {
    /// A pool of `buffers` buffers of `buffer_bytes`, of which one owner holds at most `share_max`
    /// at a time.
    pub fn new(buffers: usize, buffer_bytes: usize, share_max: usize) -> Self {
        let shelf = Shelf { memories: Mutex::new(Vec::with_capacity(buffers)), buffer_bytes };
        Self { permits: Permits::new(buffers, share_max), shelf: Arc::new(shelf) }
    }

    /// Registers an owner that will lease buffers, for example one upload.
    pub fn owner(&self) -> BufferOwner {
        BufferOwner { owner: self.permits.owner(), shelf: Arc::clone(&self.shelf) }
    }

    /// The size of every buffer, in bytes.
    pub fn buffer_bytes(&self) -> usize {
        self.shelf.buffer_bytes
    }

    /// Refuses every later request and ends every wait. Leases that are out stay valid.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Gives the memory of buffers that are not out back to the system. They are allocated again
    /// when they are wanted.
    pub fn trim(&self) {
        // Freed after the lock is released: other threads need the lock to lease or to return a
        // buffer.
        let shelved = std::mem::take(&mut *self.shelf.memories.lock());
        drop(shelved);
    }

    /// How many buffers are in use.
    pub fn usage(&self) -> Usage {
        self.permits.usage()
    }
}

/// An owner of leased buffers.
pub struct BufferOwner {
    owner: Owner,
    shelf: Arc<Shelf>,
}

impl BufferOwner {
    /// Blocks until a buffer is free. Its contents are what its last user left there.
    ///
    /// # Errors
    /// When the pool is closed or this owner is cancelled.
    pub fn acquire(&self) -> Result<Lease, AcquireError> {
        let permit = self.owner.acquire()?;
        Ok(Lease::new(self.shelf.take(), Arc::clone(&self.shelf), permit))
    }

    /// A buffer if one is free now and the share allows it.
    ///
    /// # Errors
    /// When the pool is closed or this owner is cancelled.
    pub fn try_acquire(&self) -> Result<Option<Lease>, AcquireError> {
        let permit = self.owner.try_acquire()?;
        Ok(permit.map(|permit| Lease::new(self.shelf.take(), Arc::clone(&self.shelf), permit)))
    }

    /// Ends every wait of this owner, now and later. Any thread may call it.
    pub fn cancel(&self) {
        self.owner.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_view() {
        let pool = BufferPool::new(1, 16, 1);
        let owner = pool.owner();
        let mut lease = owner.acquire().unwrap();
        lease[..4].copy_from_slice(b"abcd");
        let head = lease.split_to(2).freeze();
        let tail = lease.freeze();
        assert_eq!(&*head, b"ab");
        let part = tail.part(0..2);
        drop((head, tail));
        assert!(owner.try_acquire().unwrap().is_none());
        assert_eq!(&*part, b"cd");
        drop(part);
        assert_eq!(&owner.acquire().unwrap()[..4], b"abcd", "the memory is reused, not cleared");
    }

    #[test]
    fn what_is_trimmed_is_made_again_and_what_is_out_stays() {
        let pool = BufferPool::new(2, 16, 2);
        let owner = pool.owner();
        let mut out = owner.acquire().unwrap();
        out.copy_from_slice(&[7; 16]);
        let mut shelved = owner.acquire().unwrap();
        shelved.copy_from_slice(&[8; 16]);
        drop(shelved);
        pool.trim();
        assert_eq!(pool.shelf.memories.lock().len(), 0);
        assert_eq!((&out[..], &owner.acquire().unwrap()[..]), (&[7; 16][..], &[0; 16][..]));
        drop(out);
        assert_eq!(pool.shelf.memories.lock().len(), 2, "what comes back is kept again");
    }

    #[test]
    fn neighbours_join_and_strangers_do_not() {
        let pool = BufferPool::new(2, 8, 2);
        let owner = pool.owner();
        let mut lease = owner.acquire().unwrap();
        lease.copy_from_slice(b"01234567");
        let (a, b) = (lease.split_to(3).freeze(), lease.freeze());
        let other = owner.acquire().unwrap().freeze();
        assert!(b.clone().join(&a).is_err());
        assert!(a.clone().join(&other).is_err());
        // Adjacent by their numbers, but views of different buffers.
        assert!(a.clone().join(&other.part(3..8)).is_err());
        assert!(other.part(0..3).join(&b).is_err());
        assert_eq!(&*a.join(&b).unwrap(), b"01234567");
    }

    #[test]
    fn a_view_is_split_up_to_its_end_and_no_further() {
        let pool = BufferPool::new(1, 8, 1);
        let mut lease = pool.owner().acquire().unwrap();
        lease.copy_from_slice(b"01234567");
        drop(lease.split_to(2));
        assert_eq!(&*lease.split_to(0), b"");
        assert_eq!(&*lease.split_to(6), b"234567");
        assert_eq!(lease.len(), 0);
        assert!(refused(|| lease.split_to(1)));
    }

    #[test]
    fn a_part_lies_inside_its_view() {
        let pool = BufferPool::new(1, 8, 1);
        let mut lease = pool.owner().acquire().unwrap();
        lease.copy_from_slice(b"01234567");
        // This view does not begin where the buffer begins, and does not end where it ends.
        let view = lease.freeze().part(2..6);
        assert_eq!((&*view.part(0..4), &*view.part(4..4)), (&b"2345"[..], &b""[..]));
        assert_eq!(&*view.part(1..3).part(1..2), b"4");
        assert!(refused(|| view.part(0..5)));
        assert!(refused(|| view.part(5..5)));
        let backwards = std::ops::Range { start: 3, end: 2 };
        assert!(refused(|| view.part(backwards.clone())));
    }

    fn refused<T>(act: impl FnOnce() -> T) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err()
    }

    #[test]
    fn a_cancelled_owner_of_buffers_is_refused_and_others_are_not() {
        let pool = BufferPool::new(2, 8, 2);
        let (cancelled, other) = (pool.owner(), pool.owner());
        cancelled.cancel();
        assert_eq!(cancelled.acquire().err(), Some(AcquireError::Cancelled));
        assert_eq!(cancelled.try_acquire().err(), Some(AcquireError::Cancelled));
        let held = [other.acquire().unwrap(), other.acquire().unwrap()];
        assert_eq!(pool.usage(), Usage { now: 2, high_water: 2, ceiling: 2, waits: 0 });
        drop(held);
        drop(other.acquire().unwrap());
        // Fewer are in use than before; the high-water mark stays.
        assert_eq!(pool.usage(), Usage { now: 0, high_water: 2, ceiling: 2, waits: 0 });
        assert_eq!(pool.buffer_bytes(), 8);
    }
}
