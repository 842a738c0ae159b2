//! Keeps an upload session alive while its owner is busy reading.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use drystone_store::SessionHandle;

/// How long a session lives without a heartbeat.
pub(crate) const LEASE_MS: u64 = 120_000;
const BEAT: Duration = Duration::from_secs(30);

/// A thread that extends a session's lease until it is dropped.
pub(crate) struct Heartbeat {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    pub(crate) fn start(session: SessionHandle) -> anyhow::Result<Self> {
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("drystone-heartbeat".into())
            .spawn(move || {
                while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                    // Failures are passed over: if the session has expired, the commit is refused
                    // and reports it. A busy database may be free next time.
                    let _ = session.extend();
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
