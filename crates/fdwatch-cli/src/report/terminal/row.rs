//! Lines of styled pieces, fitted into a number of cells. The only place that writes escapes.

use unicode_width::UnicodeWidthChar;

use super::Screen;

const HOME: &str = "\x1b[H";
const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const RESET: &str = "\x1b[0m";

/// How a piece looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Warning,
}

impl Style {
    fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Warning => "\x1b[33m",
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Right,
}

/// One line. Its texts are printable already.
pub(super) struct Row {
    pieces: Vec<(Style, String)>,
    is_ascii: bool,
}

impl Row {
    pub(super) fn new(screen: Screen) -> Self {
        Self { pieces: Vec::new(), is_ascii: screen.is_ascii }
    }

    pub(super) fn push(&mut self, text: &str, style: Style) {
        let text = if self.is_ascii { ascii(text) } else { text.to_owned() };
        self.pieces.push((style, text));
    }

    /// Exactly `columns` wide, and never touching what is left of it if it stands at the right.
    pub(super) fn cell(&mut self, text: &str, columns: usize, align: Align, style: Style) {
        let text = if self.is_ascii { ascii(text) } else { text.to_owned() };
        let room = match align {
            Align::Left => columns,
            Align::Right => columns.saturating_sub(1),
        };
        let fitted = self.fit(&text, room);
        let padding = " ".repeat(columns.saturating_sub(width(&fitted)));
        self.pieces.push(match align {
            Align::Left => (style, fitted + &padding),
            Align::Right => (style, padding + &fitted),
        });
    }

    fn fit(&self, text: &str, columns: usize) -> String {
        if width(text) <= columns {
            return text.to_owned();
        }
        match columns {
            0 => String::new(),
            _ => head(text, columns - 1).to_owned() + self.ellipsis(),
        }
    }

    fn ellipsis(&self) -> &'static str {
        if self.is_ascii { "~" } else { "…" }
    }

    /// Appends the line, and tells how wide it came out.
    fn draw(&self, out: &mut String, columns: usize, screen: Screen) -> usize {
        let line = self.pieces.iter().map(|(_, text)| text.as_str()).collect::<String>();
        // Spaces at the end are never worth a cut.
        let columns_needed = width(line.trim_end_matches(' '));
        let is_cut = columns_needed > columns;
        let room = if is_cut { columns - 1 } else { columns_needed };
        let mut left = room;
        for (style, text) in &self.pieces {
            let shown = head(text, left);
            left -= width(shown);
            let escape = if screen.has_colour && !shown.is_empty() { style.escape() } else { "" };
            out.push_str(escape);
            out.push_str(shown);
            out.push_str(if escape.is_empty() { "" } else { RESET });
            if shown.len() < text.len() {
                break;
            }
        }
        if is_cut {
            out.push_str(self.ellipsis());
        }
        room - left + usize::from(is_cut)
    }
}

/// All lines from the top left, and nothing of the frame before.
pub(super) fn frame(lines: &[Row], columns: usize, rows: usize, screen: Screen) -> String {
    let mut out = String::from(HOME);
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            out.push_str("\r\n");
        }
        // After the last cell of a line the cursor still stands on it, and clearing would take that
        // cell away.
        if line.draw(&mut out, columns, screen) < columns {
            out.push_str(CLEAR_TO_END_OF_LINE);
        }
    }
    if lines.len() < rows {
        out.push_str("\r\n");
        out.push_str(CLEAR_BELOW);
    }
    out
}

/// Character by character, as terminals count that do not join emoji.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// As much of the beginning as fits.
fn head(text: &str, columns: usize) -> &str {
    let mut left = columns;
    for (at, character) in text.char_indices() {
        match left.checked_sub(character.width().unwrap_or(0)) {
            Some(rest) => left = rest,
            None => return &text[..at],
        }
    }
    text
}

/// Our own signs have a plain form; what is in names becomes an escape like those of
/// `printable.rs`.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '−' | '·' => out.push('-'),
            '…' => out.push('~'),
            _ if character.is_ascii() => out.push(character),
            _ => out.extend(character.escape_unicode()),
        }
    }
    out
}
