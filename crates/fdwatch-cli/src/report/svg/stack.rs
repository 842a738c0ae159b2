//! Kinds on top of each other: their series brought to the same moments.

use fdwatch::{KindReport, Point, ProcessReport};

use super::style::{REST_CLASS, kind_class};

/// More would be stripes that cannot be told apart: the smallest are drawn as one.
const LAYERS_MAX: usize = 8;

/// One area.
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) count: u64,
    /// Since the first count.
    pub(super) growth: i64,
    /// At each moment of the process's own series.
    values: Vec<f64>,
    /// The upper edges; with those of the layer below it is an area.
    pub(super) tops: Vec<f64>,
}

/// From the bottom up: what moved least first, so that what grows does not tilt what stands on it.
pub(super) fn layers(process: &ProcessReport) -> Vec<Layer> {
    let moments: Vec<u64> = process.series.iter().map(|point| point.at_ms).collect();
    let mut by_size: Vec<&KindReport> = process.kinds.iter().collect();
    by_size.sort_by_key(|kind| std::cmp::Reverse(highest(&kind.series).max(kind.count)));
    let shown = if by_size.len() > LAYERS_MAX { LAYERS_MAX - 1 } else { by_size.len() };
    let mut layers: Vec<Layer> =
        by_size[..shown].iter().map(|kind| Layer::new(kind, &moments)).collect();
    layers.sort_by_key(|layer| (layer.growth, std::cmp::Reverse(layer.count)));
    if let Some(rest) = by_size[shown..]
        .iter()
        .map(|kind| Layer::new(kind, &moments))
        .reduce(|one, other| one.merged(&other))
    {
        layers.insert(0, rest);
    }
    let mut below = vec![0.0; moments.len()];
    for layer in &mut layers {
        layer.tops = layer.values.iter().zip(&below).map(|(value, below)| value + below).collect();
        below.clone_from(&layer.tops);
    }
    layers
}

impl Layer {
    fn new(kind: &KindReport, moments: &[u64]) -> Self {
        let values: Vec<f64> = moments.iter().map(|&at_ms| value_at(kind, at_ms)).collect();
        let first = values.first().map_or(i64::from(kind.count), |&value| value.round() as i64);
        Self {
            name: kind.kind.name().to_owned(),
            class: kind_class(kind.kind),
            count: kind.count.into(),
            growth: i64::from(kind.count) - first,
            values,
            tops: Vec::new(),
        }
    }

    fn merged(self, other: &Self) -> Self {
        let values =
            self.values.iter().zip(&other.values).map(|(one, other)| one + other).collect();
        Self {
            name: "other kinds".to_owned(),
            class: REST_CLASS,
            count: self.count + other.count,
            growth: self.growth + other.growth,
            values,
            tops: Vec::new(),
        }
    }
}

pub(super) fn middle(point: Point) -> f64 {
    f64::midpoint(f64::from(point.low), f64::from(point.high))
}

/// Between two points on the straight line; before the first and after the last nothing changed (a
/// scan happens only when the count moves).
fn value_at(kind: &KindReport, at_ms: u64) -> f64 {
    let series = &kind.series;
    let after = series.partition_point(|point| point.at_ms < at_ms);
    match (after.checked_sub(1).map(|before| series[before]), series.get(after).copied()) {
        (_, Some(next)) if next.at_ms == at_ms => middle(next),
        (Some(before), Some(next)) => {
            let share = (at_ms - before.at_ms) as f64 / (next.at_ms - before.at_ms) as f64;
            middle(before) + share * (middle(next) - middle(before))
        }
        (Some(last), None) => middle(last),
        (None, _) => kind.before.into(),
    }
}

fn highest(series: &[Point]) -> u32 {
    series.iter().map(|point| point.high).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ms: u64, count: u32) -> Point {
        Point { at_ms, low: count, high: count }
    }

    #[test]
    fn a_series_is_read_at_any_moment() {
        let series = vec![point(10, 4), point(20, 8)];
        let mut kind = KindReport { kind: fdwatch::Kind::File, count: 8, before: 3, series };
        for (at_ms, expected) in [(9, 3.0), (10, 4.0), (15, 6.0), (20, 8.0), (99, 8.0)] {
            assert_eq!(value_at(&kind, at_ms), expected, "{at_ms}");
        }
        kind.series.clear();
        assert_eq!(value_at(&kind, 5), 3.0);
    }

    #[test]
    fn what_grows_lies_on_top_and_the_smallest_are_one() {
        let mut process = super::super::super::fixture::leaking().processes.remove(0);
        let names = |process: &ProcessReport| {
            layers(process).into_iter().map(|layer| layer.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&process).last().unwrap(), "socket");
        let extra = process.kinds[5].clone();
        for kind in [fdwatch::Kind::Memfd, fdwatch::Kind::Device] {
            process.kinds.push(KindReport { kind, ..extra.clone() });
        }
        assert_eq!(names(&process).len(), LAYERS_MAX);
        assert!(!names(&process).contains(&"other kinds".to_owned()));
        process.kinds.push(KindReport { kind: fdwatch::Kind::Other, ..extra });
        assert_eq!(names(&process).len(), LAYERS_MAX);
        assert_eq!(names(&process)[0], "other kinds");
        let top = layers(&process).pop().unwrap();
        let counts: u64 = process.kinds.iter().map(|kind| u64::from(kind.count)).sum();
        assert!(
            (top.tops.last().unwrap() - counts as f64).abs() < 40.0,
            "{:?} {counts}",
            top.tops.last()
        );
    }
}
