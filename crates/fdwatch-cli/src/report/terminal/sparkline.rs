//! A series in one line of text.

use fdwatch::Point;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', '-', ':', '=', '+', '*', '#'];

/// A swing of less than this fills less than the whole height: one descriptor more or less is no
/// mountain.
const SWING_MIN: u32 = 8;

/// The lowest and the highest that it shows. Of the highest counts of each stretch: were the lowest
/// to count, noise would lift a level series off the ground.
pub(super) fn range(series: &[Point]) -> Option<(u32, u32)> {
    let highs = series.iter().map(|point| point.high);
    Some((highs.clone().min()?, highs.max()?))
}

/// At most `columns` characters, oldest first: each the highest count of its share of time. From
/// the bottom of the [`range`], not from 0: it is there to show how it moves.
pub(super) fn of(series: &[Point], columns: usize, is_ascii: bool) -> String {
    let columns = columns.min(series.len());
    let levels = if is_ascii { ASCII } else { BLOCKS };
    let Some((lowest, highest)) = range(series) else { return String::new() };
    let swing = u64::from((highest - lowest).max(SWING_MIN));
    let cell = |column: usize| {
        let share = &series[column * series.len() / columns..(column + 1) * series.len() / columns];
        let high = share.iter().map(|point| point.high).max().unwrap_or(lowest);
        let above = u64::from(high.saturating_sub(lowest));
        // Rounded to the nearest; `high` is at most `highest`, so the last level is the highest
        // index.
        let level = (above * (levels.len() as u64 - 1) + swing / 2) / swing;
        levels[level as usize]
    };
    (0..columns).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: &[u32], columns: usize, expected: &str) {
        let point =
            |(at, &count): (usize, &u32)| Point { at_ms: at as u64, low: count, high: count };
        let series: Vec<Point> = counts.iter().enumerate().map(point).collect();
        assert_eq!(of(&series, columns, false), expected);
    }

    #[test]
    fn it_shows_how_a_series_moves() {
        check(&[], 10, "");
        check(&[5], 10, "▁");
        check(&[0, 10, 20, 30, 40, 50, 60, 70], 8, "▁▂▃▄▅▆▇█");
        check(&[100, 800, 100], 3, "▁█▁");
        check(&[u32::MAX, 0], 2, "█▁");
    }

    #[test]
    fn noise_is_no_mountain() {
        check(&[40, 41, 40, 40], 4, "▁▂▁▁");
        check(&[40; 4], 4, "▁▁▁▁");
    }

    #[test]
    fn a_peak_survives_in_few_columns() {
        check(&[1, 1, 1, 99, 1, 1, 1, 1], 2, "█▁");
        check(&[1, 2, 3], 0, "");
    }
}
