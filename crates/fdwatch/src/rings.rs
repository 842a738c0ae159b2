//! What came and went in equal windows of time: a bounded number of them, whose length doubles when
//! they run out.

/// Windows of a ring.
pub(crate) const WINDOWS: usize = 16;
const FIRST_WINDOW_MS: u64 = 125;

/// What came and went since a moment.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    began_ms: u64,
    window_ms: u64,
    gained: u64,
    lost: u64,
    windows: [(u16, u16); WINDOWS],
}

impl Ring {
    pub(crate) fn new(began_ms: u64) -> Self {
        let windows = [(0, 0); WINDOWS];
        Self { began_ms, window_ms: FIRST_WINDOW_MS, gained: 0, lost: 0, windows }
    }

    pub(crate) fn began_ms(&self) -> u64 {
        self.began_ms
    }

    pub(crate) fn gained(&self) -> u64 {
        self.gained
    }

    pub(crate) fn net(&self) -> i64 {
        self.gained as i64 - self.lost as i64
    }

    /// What comes before the ring begins is left out.
    pub(crate) fn add(&mut self, at_ms: u64, gained: u32, lost: u32) {
        let Some(over_ms) = at_ms.checked_sub(self.began_ms) else { return };
        while over_ms / self.window_ms >= WINDOWS as u64 {
            for index in 0..WINDOWS / 2 {
                let (a, b) = (self.windows[2 * index], self.windows[2 * index + 1]);
                self.windows[index] = (a.0.saturating_add(b.0), a.1.saturating_add(b.1));
            }
            self.windows[WINDOWS / 2..].fill((0, 0));
            self.window_ms *= 2;
        }
        self.gained += u64::from(gained);
        self.lost += u64::from(lost);
        let narrow = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let window = &mut self.windows[(over_ms / self.window_ms) as usize];
        window.0 = window.0.saturating_add(narrow(gained));
        window.1 = window.1.saturating_add(narrow(lost));
    }

    /// How many windows there are until now, of the length that they would have now.
    pub(crate) fn used(&self, at_ms: u64) -> usize {
        let over_ms = at_ms.saturating_sub(self.began_ms);
        (over_ms / self.window_ms_at(over_ms)) as usize + 1
    }

    /// The growth in each window until now; and what came and went in all.
    pub(crate) fn windows(&self, at_ms: u64) -> ([f64; WINDOWS], u64, u64) {
        let mut nets = [0.0; WINDOWS];
        let together = self.window_ms_at(at_ms.saturating_sub(self.began_ms)) / self.window_ms;
        for (index, &(gained, lost)) in self.windows.iter().enumerate() {
            nets[index / together as usize] += f64::from(gained) - f64::from(lost);
        }
        (nets, self.gained, self.lost)
    }

    fn window_ms_at(&self, over_ms: u64) -> u64 {
        let mut window_ms = self.window_ms;
        while over_ms / window_ms >= WINDOWS as u64 {
            window_ms *= 2;
        }
        window_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_windows_are_merged() {
        let mut ring = Ring::new(1_000);
        for second in 0..10_000_u64 {
            ring.add(second * 1_000, 3, 1);
            let (nets, came, went) = ring.windows(second * 1_000);
            let used = ring.used(second * 1_000);
            assert_eq!((came, went), (3 * second, second));
            assert_eq!(nets.iter().sum::<f64>(), 2.0 * second as f64);
            assert!(nets[used..].iter().all(|net| *net == 0.0));
            assert!(used <= WINDOWS && (second < 3 || used >= WINDOWS / 2), "{second}: {used}");
        }
    }

    #[test]
    fn time_without_anything_counts_as_windows() {
        let mut ring = Ring::new(0);
        ring.add(0, 5, 0);
        assert_eq!(ring.used(0), 1);
        let used = ring.used(1_000_000);
        assert!((WINDOWS / 2..=WINDOWS).contains(&used), "{used}");
        assert_eq!(ring.windows(1_000_000).0[0], 5.0);
    }
}
