use super::*;

#[test]
fn counts_have_their_thousands() {
    for (number, expected) in
        [(0, "0"), (999, "999"), (1_000, "1,000"), (20_480, "20,480"), (1_048_576, "1,048,576")]
    {
        assert_eq!(count(number), expected);
    }
    assert_eq!(
        (signed(0).as_str(), signed(7).as_str(), signed(-1_000).as_str()),
        ("0", "+7", "−1,000")
    );
    assert_eq!(signed(i64::MIN), "−9,223,372,036,854,775,808");
}

#[test]
fn a_rate_is_told_in_the_unit_that_fits() {
    for (per_second, expected) in [
        (1.0, "+1/s"),
        (1.016, "+1.02/s"),
        (123.4, "+123/s"),
        (-2.5, "−2.5/s"),
        (0.5, "+0.5/s"),
        (0.05, "+3/min"),
        (0.01, "+0.6/min"),
        (1.0 / 43_200.0, "+2/d"),
        (1e-9, "0"),
        (0.0, "0"),
        (f64::NAN, "0"),
        (f64::INFINITY, "0"),
        (1e300, "+1,000,000,000,000,000/s"),
    ] {
        assert_eq!(rate(per_second), expected, "{per_second}");
    }
    assert_eq!(rate_in_words(0.001), Some(("3.6".to_owned(), "an hour".to_owned())));
    assert_eq!(rate_in_words(1e-9), None);
}

#[test]
fn a_duration_has_two_units_at_most() {
    for (seconds, expected) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (212, "3 min 32 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (86_399, "23 h 59 min"),
        (273_600, "3 d 4 h"),
        (u64::MAX, "213,503,982,334,601 d 7 h"),
    ] {
        assert_eq!(duration(Duration::from_secs(seconds)), expected);
    }
    assert_eq!(duration(Duration::from_millis(250)), "250 ms");
}

/// Against the dates of `date -u -d @N`.
#[test]
fn the_calendar_is_right() {
    for (seconds, expected) in [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_399, "2000-02-28 23:59:59 UTC"),
        (951_782_400, "2000-02-29 00:00:00 UTC"),
        (951_868_800, "2000-03-01 00:00:00 UTC"),
        (1_795_733_341, "2026-11-26 22:49:01 UTC"),
        (4_107_542_400, "2100-03-01 00:00:00 UTC"),
    ] {
        assert_eq!(moment(seconds * 1_000), expected, "{seconds}");
    }
    // Nonsense of a broken clock ends nothing.
    moment(u64::MAX);
}
