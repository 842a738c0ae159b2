//! The progress bar: bytes, rate, time left, and what deduplication saved. On a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, size};

pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for `total` bytes (`None`: unknown). Hidden where a bar makes no sense.
    pub(crate) fn new(output: &Output, total: Option<u64>) -> Self {
        if !output.shows_progress() {
            return Self { bar: ProgressBar::hidden() };
        }
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:24} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left  {wide_msg}",
            ),
            None => (
                ProgressBar::no_length(),
                "{spinner} {bytes}  {binary_bytes_per_sec}  {elapsed}  {wide_msg}",
            ),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    pub(crate) fn saved(&self, bytes: u64) {
        if bytes > 0 {
            self.bar.set_message(format!("{} saved by dedup", size(bytes)));
        }
    }

    /// What is going on, behind the bar.
    pub(crate) fn say(&self, what: String) {
        self.bar.set_message(what);
    }

    /// Lets other lines be printed without tearing the bar.
    pub(crate) fn suspend<T>(&self, body: impl FnOnce() -> T) -> T {
        self.bar.suspend(body)
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.bar.elapsed()
    }
}
