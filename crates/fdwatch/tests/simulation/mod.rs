//! Chance by seed, and the servers made from it.

#[allow(dead_code, reason = "each file of tests uses a part of it")]
pub(crate) mod descriptors;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
pub(crate) mod scenarios;

/// SplitMix64 (Steele, Lea and Flood 2014): tiny, and good enough for simulations.
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give shifted copies of one sequence.
        let mut scrambled = Self(seed);
        Self(scrambled.bits() ^ seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// In `0..1`.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number from `low` to `high`, both possible.
    pub(crate) fn whole(&mut self, low: i64, high: i64) -> f64 {
        low as f64 + (self.fraction() * (high - low + 1) as f64).floor()
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.fraction()).ln()
    }

    /// Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.fraction()).ln()).sqrt()
            * (std::f64::consts::TAU * self.fraction()).cos()
    }
}

/// One count a second.
pub(crate) fn counts(seconds: usize, count: impl FnMut(usize) -> f64) -> Vec<u32> {
    (0..seconds).map(count).map(|count| count.round().max(0.0) as u32).collect()
}

/// How many are open at each second when `per_second` are opened at random, each held for a time of
/// its own. That has been going on for `before_s` when the watch begins: long enough for as many to
/// be closed as opened.
pub(crate) fn churn(
    seed: &mut Seed,
    seconds: usize,
    before_s: f64,
    per_second: f64,
    held: impl Fn(&mut Seed) -> f64,
) -> Vec<f64> {
    let mut changes = vec![0.0; seconds + 1];
    let mut opened = -before_s + seed.exponential(1.0 / per_second);
    while opened < seconds as f64 {
        let closed = opened + held(seed);
        let seen = |time: f64| (time.ceil().max(0.0) as usize).min(seconds);
        changes[seen(opened)] += 1.0;
        changes[seen(closed)] -= 1.0;
        opened += seed.exponential(1.0 / per_second);
    }
    let mut open = 0.0;
    let running = |change: &f64| {
        open += change;
        open
    };
    changes[..seconds].iter().map(running).collect()
}

/// Bursts at random times, of random heights and lengths with these means.
pub(crate) fn on_and_off(
    seed: &mut Seed,
    seconds: usize,
    between_s: f64,
    lasting_s: f64,
    height: f64,
) -> Vec<f64> {
    let mut bursts = vec![0.0; seconds];
    let mut begins = seed.exponential(between_s);
    while begins < seconds as f64 {
        let (ends, burst) =
            (begins + seed.exponential(lasting_s), seed.exponential(height).round());
        bursts[begins as usize..(ends as usize).min(seconds)]
            .iter_mut()
            .for_each(|count| *count += burst);
        begins += seed.exponential(between_s);
    }
    bursts
}
