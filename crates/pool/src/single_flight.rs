//! Single flight by key: one thread does the work for a key, the others get its outcome.
//!
//! The first thread that asks for a key claims it. While its [`Flight`] is under way, the other
//! threads that ask wait. When the flight *lands*, its value can be had for as long as a [`Landed`]
//! of it is kept. When the flight is dropped instead (its work failed or panicked), each waiter
//! asks again, and one of them becomes the next to fly.
//!
//! A thread that claims several keys finishes all of its own flights before it waits for the flight
//! of another thread. Otherwise two threads could wait for each other.

use std::collections::HashMap;
use std::hash::Hash;

use drystone_sync::{Arc, Condvar, Mutex};

/// Claims by key. The number of entries is the number of live [`Flight`]s and [`Landed`]s, no more.
pub struct SingleFlight<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    /// A leaf lock.
    entries: Mutex<HashMap<K, Entry<V>>>,
    /// Signalled whenever a flight ends, if a thread waits for it.
    ended: Condvar,
}

enum Entry<V> {
    Flying { awaited: bool },
    Landed { value: V, keepers: usize },
}

/// The answer to a claim of a key.
pub enum Claim<K: Eq + Hash + Clone, V: Clone> {
    /// The caller does the work.
    Mine(Flight<K, V>),
    /// Another thread is doing it.
    Theirs(Waiting<K, V>),
    /// The work has been done.
    Landed(Landed<K, V>),
}

impl<K, V> Clone for SingleFlight<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash + Clone, V: Clone> SingleFlight<K, V> {
    /// Nothing is flying.
    pub fn new() -> Self {
        let shared = Shared { entries: Mutex::new(HashMap::new()), ended: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Asks for `key`; never blocks.
    pub fn claim(&self, key: K) -> Claim<K, V> {
        let mut entries = self.shared.entries.lock();
        match entries.get_mut(&key) {
            None => {
                entries.insert(key.clone(), Entry::Flying { awaited: false });
                Claim::Mine(Flight { shared: Arc::clone(&self.shared), key: Some(key) })
            }
            Some(Entry::Flying { .. }) => Claim::Theirs(Waiting { flights: self.clone(), key }),
            Some(Entry::Landed { value, keepers }) => {
                *keepers += 1;
                let value = value.clone();
                Claim::Landed(Landed { shared: Arc::clone(&self.shared), key, value })
            }
        }
    }

    /// The outcome of `work` for `key`. If another thread is at this key already, this one waits
    /// for its outcome. If that thread's work fails, `work` runs here.
    ///
    /// # Errors
    /// Those of `work`, when it runs here. A failure of another thread is not reported here.
    pub fn run<E>(&self, key: K, work: impl FnOnce() -> Result<V, E>) -> Result<Landed<K, V>, E> {
        let mut claim = self.claim(key);
        loop {
            match claim {
                Claim::Mine(flight) => return work().map(|value| flight.land(value)),
                Claim::Landed(landed) => return Ok(landed),
                Claim::Theirs(waiting) => claim = waiting.wait(),
            }
        }
    }

    /// The values that are kept, each once, in no order. Copies all of them under the lock, so it
    /// should be called seldom.
    pub fn landed(&self) -> Vec<V> {
        let entries = self.shared.entries.lock();
        let landed = entries.values().filter_map(|entry| match entry {
            Entry::Landed { value, .. } => Some(value.clone()),
            Entry::Flying { .. } => None,
        });
        landed.collect()
    }

    /// How many keys are flying or kept.
    pub fn len(&self) -> usize {
        self.shared.entries.lock().len()
    }

    /// Whether nothing is flying or kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The right and duty to do the work for a key. Dropping it hands the key over.
pub struct Flight<K: Eq + Hash + Clone, V: Clone> {
    shared: Arc<Shared<K, V>>,
    /// `None` once landed.
    key: Option<K>,
}

impl<K: Eq + Hash + Clone, V: Clone> Flight<K, V> {
    /// Publishes the outcome. A claim of the key finds it while the returned value lives, or one
    /// that such a claim returned.
    pub fn land(mut self, value: V) -> Landed<K, V> {
        let key = self.key.take().expect("a flight has its key until it lands");
        let entry = Entry::Landed { value: value.clone(), keepers: 1 };
        let before = self.shared.entries.lock().insert(key.clone(), entry);
        if matches!(before, Some(Entry::Flying { awaited: true })) {
            self.shared.ended.notify_all();
        }
        Landed { shared: Arc::clone(&self.shared), key, value }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Flight<K, V> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let before = self.shared.entries.lock().remove(&key);
        if matches!(before, Some(Entry::Flying { awaited: true })) {
            self.shared.ended.notify_all();
        }
    }
}

/// A claim on a key whose work another thread is doing.
pub struct Waiting<K, V> {
    flights: SingleFlight<K, V>,
    key: K,
}

impl<K: Eq + Hash + Clone, V: Clone> Waiting<K, V> {
    /// Blocks until that flight has ended, then claims the key again.
    pub fn wait(self) -> Claim<K, V> {
        let shared = &self.flights.shared;
        let mut entries = shared.entries.lock();
        while let Some(Entry::Flying { awaited }) = entries.get_mut(&self.key) {
            *awaited = true;
            entries = shared.ended.wait(entries);
        }
        drop(entries);
        self.flights.claim(self.key)
    }
}

/// An outcome. While it lives, later claims of its key find it.
pub struct Landed<K: Eq + Hash + Clone, V: Clone> {
    shared: Arc<Shared<K, V>>,
    key: K,
    value: V,
}

impl<K: Eq + Hash + Clone, V: Clone> Landed<K, V> {
    /// The outcome.
    pub fn value(&self) -> &V {
        &self.value
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Landed<K, V> {
    fn drop(&mut self) {
        let mut entries = self.shared.entries.lock();
        let last = match entries.get_mut(&self.key) {
            Some(Entry::Landed { keepers, .. }) => {
                *keepers -= 1;
                *keepers == 0
            }
            _ => false,
        };
        if last {
            entries.remove(&self.key);
        }
    }
}
