//! How much of a bounded resource is in use.

/// A reading of one bounded resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Units out now.
    pub now: usize,
    /// The most units that were ever out at once.
    pub high_water: usize,
    /// Units that exist; `now` and `high_water` never pass it.
    pub ceiling: usize,
    /// How often a thread had to wait for a unit.
    pub waits: u64,
}

impl Usage {
    pub(crate) fn new(ceiling: usize) -> Self {
        Self { ceiling, ..Self::default() }
    }

    pub(crate) fn take(&mut self) {
        self.now += 1;
        assert!(self.now <= self.ceiling, "a unit past the ceiling was handed out");
        self.high_water = self.high_water.max(self.now);
    }

    pub(crate) fn give_back(&mut self) {
        assert!(self.now > 0, "a unit was given back twice");
        self.now -= 1;
    }
}
