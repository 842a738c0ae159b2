//! The live view on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use fdwatch::Report;

use crate::report::terminal::{Screen, frame};

/// The other screen of a terminal, left again when dropped.
#[derive(Debug)]
pub(super) struct Live {
    has_colour: bool,
    is_ascii: bool,
}

impl Live {
    /// `None` where standard output is no terminal that can do it.
    pub(super) fn start() -> Option<Self> {
        let terminal = std::env::var("TERM").unwrap_or_default();
        if !io::stdout().is_terminal() || terminal.is_empty() || terminal == "dumb" {
            return None;
        }
        let has_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let live = Self { has_colour, is_ascii: !speaks_utf8() };
        // Another screen, so that what stood there comes back; no cursor.
        live.write("\x1b[?1049h\x1b[?25l").ok()?;
        Some(live)
    }

    pub(super) fn draw(&self, report: &Report) -> io::Result<()> {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row));
        let (columns, rows) =
            (if columns == 0 { 80 } else { columns }, if rows == 0 { 24 } else { rows });
        let (has_colour, is_ascii) = (self.has_colour, self.is_ascii);
        self.write(&frame(report, Screen { columns, rows, has_colour, is_ascii }))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A terminal that is gone has no screen to go back to.
        let _ = self.write("\x1b[?25h\x1b[?1049l");
    }
}

/// The first of the variables that is set decides, as in the C library.
fn speaks_utf8() -> bool {
    let values = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).unwrap_or_default());
    let value =
        values.iter().find(|value| !value.is_empty()).map(|value| value.to_ascii_lowercase());
    value.is_some_and(|value| value.contains("utf-8") || value.contains("utf8"))
}
