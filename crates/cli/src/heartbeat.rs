//! Keeps a session alive while its owner is busy: an upload session, or that of a store's readers.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use drystone_store::{SessionHandle, Store};

/// How long a session lives without a heartbeat.
pub(crate) const LEASE_MS: u64 = 120_000;
const BEAT: Duration = Duration::from_secs(30);

/// A thread that beats until it is dropped.
pub(crate) struct Heartbeat {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Extends an upload session's lease.
    pub(crate) fn of_upload(session: SessionHandle) -> anyhow::Result<Self> {
        Self::start(move || session.extend())
    }

    /// Keeps what is read from a store readable, however long that takes.
    pub(crate) fn of_readers(store: &Store) -> anyhow::Result<Self> {
        let store = store.clone();
        Self::start(move || store.move_readers_on())
    }

    fn start(
        beat: impl Fn() -> drystone_store::Result<()> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("drystone-heartbeat".into())
            .spawn(move || {
                while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                    // Failures are passed over: if the session has expired, the commit is refused,
                    // or the read fails, and reports it. A busy database may be free next time.
                    let _ = beat();
                }
            })
            .context("cannot start the heartbeat thread")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
