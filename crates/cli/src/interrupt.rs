//! SIGINT and SIGTERM: finish cleanly; the second one, or two seconds, ends the process.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{Exit, Interrupted};
use crate::output::Output;

/// How long the work may take to notice the first signal. A read that blocks (standard input, a
/// hung file system) would never notice it.
const GRACE: Duration = Duration::from_secs(2);
const STOPPING: &str = "drystone: stopping within two seconds; a second signal stops at once";

/// Set by a signal, and read by the loops that do the work.
#[derive(Clone)]
pub(crate) struct Interrupt {
    /// Stored with release when a signal comes, loaded with acquire by the loops. No other data is
    /// passed with it.
    flag: Arc<AtomicBool>,
}

impl Interrupt {
    /// Catches the signals from now on, on a thread of its own (the plan counts it).
    pub(crate) fn catch(output: &Output) -> anyhow::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot catch signals")?;
        let (seen, quiet) = (Arc::clone(&flag), output.quiet);
        std::thread::Builder::new()
            .name("drystone-signal".into())
            .spawn(move || {
                for _ in signals.forever() {
                    if seen.swap(true, Ordering::Release) {
                        quit();
                    }
                    // The store is crash-safe: when the process ends in the middle, nothing is lost
                    // that was acknowledged.
                    let patience = std::thread::Builder::new().spawn(|| {
                        std::thread::sleep(GRACE);
                        quit();
                    });
                    if patience.is_err() {
                        quit();
                    }
                    if !quiet {
                        // On a thread of its own: standard error may be a pipe that is no longer
                        // read, and this thread must still see a second signal.
                        let _ = std::thread::Builder::new()
                            .spawn(|| writeln!(io::stderr(), "{STOPPING}"));
                    }
                }
            })
            .context("cannot start the signal thread")?;
        Ok(Self { flag })
    }

    /// An interrupt that no signal ever sets.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self { flag: Arc::default() }
    }

    /// Fails once a signal has come.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.flag.load(Ordering::Acquire) { Err(Interrupted) } else { Ok(()) }
    }
}

fn quit() -> ! {
    std::process::exit(Exit::Interrupted as i32)
}
