//! Stretches of time with their lowest and highest count, and the few numbers that statistics are
//! made from.

/// Some time, and the counts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its middle, in units of the series.
    pub(crate) at: u32,
    pub(crate) low: u32,
    pub(crate) high: u32,
}

impl Stretch {
    /// This one and the one after it, of the same length.
    pub(crate) fn merged(self, next: Self) -> Self {
        let at = self.at + (next.at - self.at) / 2;
        Self { at, low: self.low.min(next.low), high: self.high.max(next.high) }
    }
}

/// The lowest count in some stretches.
pub(crate) fn lowest(stretches: &[Stretch]) -> u32 {
    stretches.iter().map(|stretch| stretch.low).min().unwrap_or(u32::MAX)
}

/// The highest.
pub(crate) fn highest(stretches: &[Stretch]) -> u32 {
    stretches.iter().map(|stretch| stretch.high).max().unwrap_or(0)
}

/// So many numbers are looked at in a window of any length. This bounds the pairs of them to 2,016.
pub(crate) const LOWS_MAX: usize = 64;

/// A window as at most [`LOWS_MAX`] lows at their times, on the stack.
#[derive(Clone, Debug)]
pub(crate) struct Lows {
    at: [f64; LOWS_MAX],
    count: [f64; LOWS_MAX],
    len: usize,
}

impl Lows {
    /// Neighbours are put together as far as needed; what is left over at the old end is left out.
    ///
    /// The lows, not the means: a burst leaves them alone, a descriptor that is never closed raises
    /// them all.
    pub(crate) fn of(window: &[Stretch]) -> Self {
        let mut lows = Self { at: [0.0; LOWS_MAX], count: [0.0; LOWS_MAX], len: 0 };
        let together = window.len().div_ceil(LOWS_MAX).max(1);
        let left_over = window.len() % together;
        let mut start = 0.0;
        for (index, part) in window[left_over..].chunks_exact(together).enumerate() {
            let middle = f64::midpoint(f64::from(part[0].at), f64::from(part[together - 1].at));
            if index == 0 {
                start = middle;
            }
            lows.at[index] = middle - start;
            lows.count[index] = f64::from(lowest(part));
            lows.len += 1;
        }
        lows
    }

    /// Their times, from 0 on, in units of the series.
    pub(crate) fn at(&self) -> &[f64] {
        &self.at[..self.len]
    }

    pub(crate) fn counts(&self) -> &[f64] {
        &self.count[..self.len]
    }

    /// From the first to the last.
    pub(crate) fn duration(&self) -> f64 {
        self.at().last().copied().unwrap_or(0.0)
    }

    /// What is left of the counts without a line of this slope.
    pub(crate) fn without(&self, slope: f64) -> Self {
        let mut rest = self.clone();
        for (count, at) in rest.count[..self.len].iter_mut().zip(&self.at) {
            *count -= slope * at;
        }
        rest
    }

    /// The deepest fall from a peak before it.
    pub(crate) fn deepest_fall(&self) -> f64 {
        let (mut peak, mut deepest) = (0.0_f64, 0.0_f64);
        for &count in self.counts() {
            peak = peak.max(count);
            deepest = deepest.max(peak - count);
        }
        deepest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(counts: impl IntoIterator<Item = u32>) -> Vec<Stretch> {
        counts
            .into_iter()
            .enumerate()
            .map(|(at, count)| Stretch { at: at as u32, low: count, high: count })
            .collect()
    }

    #[test]
    fn lows_are_bounded_and_keep_the_newest() {
        for len in [0, 1, 63, 64, 65, 127, 128, 129, 239, 240] {
            let lows = Lows::of(&line(0..len));
            assert!(lows.counts().len() <= LOWS_MAX, "{len}");
            assert!(lows.counts().len() >= (len as usize).min(LOWS_MAX / 2), "{len}");
            let together = (len as usize).div_ceil(LOWS_MAX).max(1) as f64;
            assert_eq!(
                lows.counts().last().copied(),
                (len > 0).then(|| f64::from(len) - together),
                "{len}"
            );
        }
    }

    #[test]
    fn the_deepest_fall_is_from_any_peak_before_it() {
        let fall = |counts: &[u32]| Lows::of(&line(counts.iter().copied())).deepest_fall();
        assert_eq!(fall(&[]), 0.0);
        assert_eq!(fall(&[1, 2, 3]), 0.0);
        assert_eq!(fall(&[5, 3, 9, 8, 4, 10]), 5.0);
    }
}
