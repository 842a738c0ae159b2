//! Keys that were looked up a moment ago, so that not each request asks the records.

use std::collections::VecDeque;
use std::time::Duration;

use drystone_store::KeyRow;
use drystone_sync::{Mutex, PlainArc};
use tokio::time::Instant;

/// How long a key is remembered: this long after its revocation it may still work.
const REMEMBERED: Duration = Duration::from_secs(2);
/// Keys that are remembered.
const REMEMBERED_MAX: usize = 256;

/// Keys that were looked up a moment ago.
#[derive(Default)]
pub(crate) struct Keys {
    remembered: Mutex<VecDeque<(Instant, PlainArc<KeyRow>)>>,
}

impl Keys {
    /// The key of this name, if it was looked up a moment ago.
    pub(crate) fn remembered(&self, access: &str) -> Option<PlainArc<KeyRow>> {
        let mut keys = self.remembered.lock();
        while keys.front().is_some_and(|(since, _)| since.elapsed() > REMEMBERED) {
            keys.pop_front();
        }
        keys.iter().find(|(_, key)| key.key.access == access).map(|(_, key)| PlainArc::clone(key))
    }

    /// Keeps a key that was just looked up.
    pub(crate) fn remember(&self, key: &PlainArc<KeyRow>) {
        let mut keys = self.remembered.lock();
        if keys.len() == REMEMBERED_MAX {
            keys.pop_front();
        }
        keys.push_back((Instant::now(), PlainArc::clone(key)));
    }
}
