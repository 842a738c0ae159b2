use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn series(counts: impl IntoIterator<Item = u32>) -> Series {
    let mut series = Series::default();
    for (second, count) in counts.into_iter().enumerate() {
        series.push(Duration::from_secs(second as u64), count);
    }
    series
}

/// Any counts, without chance.
fn scrambled(index: u64) -> u32 {
    (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as u32
}

/// What must hold of any series.
#[track_caller]
fn check_bounds(series: &Series, low: u32, high: u32) {
    let points = series.points();
    assert!(points.len() <= SERIES_POINTS_MAX);
    assert!(series.stretches.capacity() <= SERIES_POINTS_MAX);
    assert!(points.is_sorted_by_key(|point| point.at_ms), "{points:?}");
    assert!(points.iter().all(|point| point.low <= point.high));
    assert_eq!(points.iter().map(|point| point.low).min(), Some(low));
    assert_eq!(points.iter().map(|point| point.high).max(), Some(high));
    assert_eq!(series.high_water(), high);
}

#[test]
fn before_the_first_count_there_is_nothing() {
    let series = Series::default();
    assert_eq!(series.points(), []);
    assert_eq!(series.newest(), None);
    assert_eq!(series.lowest_after(Duration::ZERO), None);
    assert_eq!(series.high_water(), 0);
    assert!(!series.is_warm(Duration::ZERO));
    assert_eq!(series.trend(Duration::ZERO), Trend::default());
}

#[test]
fn no_low_and_no_high_is_lost_by_merging() {
    for spike_at in [0, 1, 119, 239, 240, 241, 479, 480, 481, 4999] {
        let counts =
            (0..5000).map(|at| 500 + u32::from(at == spike_at) * 500 - u32::from(at == 2500) * 400);
        check_bounds(&series(counts), 100, 1000);
    }
}

#[test]
fn a_million_counts_stay_within_bounds() {
    let mut all = Series::default();
    let (mut low, mut high) = (u32::MAX, 0);
    for index in 0..1_000_000 {
        let count = scrambled(index);
        (low, high) = (low.min(count), high.max(count));
        all.push(Duration::from_millis(index * 250), count);
    }
    check_bounds(&all, low, high);
    let points = all.points();
    assert!(points.len() >= SERIES_POINTS_MAX / 2);
    assert!(points[0].at_ms < 1_250_000 && points[points.len() - 1].at_ms > 248_000_000);
    assert_eq!(all.newest(), Some(scrambled(999_999)));
}

#[test]
fn full_stretches_hold_equally_many_counts() {
    let points = series((0..240).chain(0..1)).points();
    assert_eq!(points.len(), 121);
    assert_eq!(points[0], Point { at_ms: 500, low: 0, high: 1 });
    assert_eq!(points[119], Point { at_ms: 238_500, low: 238, high: 239 });
    assert_eq!(points[120], Point { at_ms: 240_000, low: 0, high: 0 });
}

#[test]
fn an_unchanging_count_keeps_nothing_and_tells_the_same() {
    for counts in [1, 2, 3, 239, 240, 241, 479, 480, 481, 1000, 5000] {
        let mut folded = series(std::iter::repeat_n(7, counts));
        assert_eq!(folded.stretches.capacity(), 0);
        // The other one has to keep stretches from the first count on.
        let mut kept = Series::default();
        for second in 0..counts {
            kept.push(Duration::from_secs(second as u64), 7);
            if second == 0 {
                kept.unfold(kept.span.expect("there is a count"));
            }
        }
        for warm_up in [0, 1, 100, 188, 189, 190, 10_000].map(Duration::from_secs) {
            assert_eq!(folded.lowest_after(warm_up).is_some(), warm_up.as_secs() < counts as u64);
        }
        for second in counts..counts + 300 {
            let at = Duration::from_secs(second as u64);
            folded.push(at, second as u32);
            kept.push(at, second as u32);
            assert_eq!(folded.points(), kept.points(), "{counts} equal counts, then at {second}");
        }
    }
}

#[test]
fn an_unchanging_count_is_warm_when_any_other_would_be() {
    for warm_up in [0, 5, 100].map(Duration::from_secs) {
        for counts in 1..=200 {
            let flat = series(std::iter::repeat_n(7, counts));
            let varied = series((0..counts).map(|at| at as u32 % 2));
            assert_eq!(
                flat.is_warm(warm_up),
                varied.is_warm(warm_up),
                "{counts} counts, {warm_up:?}"
            );
        }
    }
}

#[test]
fn time_may_jump_stand_still_or_go_back() {
    let mut jumpy = Series::default();
    let times = [5, 5, 4, 3, 100, 100, 1 << 20, 1 << 33, 7, u64::MAX / 2_000, 1];
    for (index, &second) in times.iter().cycle().take(2000).enumerate() {
        jumpy.push(Duration::from_secs(second), scrambled(index as u64));
        let trend = jumpy.trend(SECOND);
        assert!(trend.per_second.is_finite());
        assert!(jumpy.points().is_sorted_by_key(|point| point.at_ms));
    }
    jumpy.push(Duration::MAX, 3);
    jumpy.push(Duration::ZERO, 4);
    assert_eq!(jumpy.newest(), Some(4));
    assert!(jumpy.trend(SECOND).per_second.is_finite());
}

#[test]
fn counts_that_all_come_at_once_have_no_rate() {
    let mut at_once = Series::default();
    for count in 0..10_000 {
        at_once.push(SECOND, count);
    }
    assert_eq!(at_once.trend(Duration::ZERO), Trend::default());
}

#[test]
fn the_extremes_of_counts_are_counts_like_others() {
    let extremes = series((0..10_000).map(|at| if at % 3 == 0 { u32::MAX } else { 0 }));
    check_bounds(&extremes, 0, u32::MAX);
    assert!(!extremes.trend(Duration::ZERO).is_leak);
    let rising = series((0..10_000).map(|at| u32::MAX - 10_000 + at));
    let trend = rising.trend(Duration::ZERO);
    assert!((trend.per_second - 1.0).abs() < 1e-6, "{trend:?}");
}

#[test]
fn warm_up_is_left_out() {
    let after_dip = series((0..100).map(|at| if at < 10 { 1 } else { 50 + at }));
    assert_eq!(after_dip.lowest_after(Duration::ZERO), Some(1));
    assert_eq!(after_dip.lowest_after(Duration::from_secs(9)), Some(1));
    assert_eq!(after_dip.lowest_after(Duration::from_secs(10)), Some(60));
    assert_eq!(after_dip.lowest_after(Duration::from_secs(99)), Some(149));
    assert_eq!(after_dip.lowest_after(Duration::from_secs(100)), None);
    assert_eq!(after_dip.trend(Duration::from_secs(60)), Trend::default());
}

#[test]
fn a_series_fits_in_three_kibibytes() {
    let bytes = size_of::<Series>() + SERIES_POINTS_MAX * size_of::<Stretch>();
    assert!(bytes <= 3072, "{bytes}");
}
