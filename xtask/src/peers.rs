//! `cargo xtask peers`: drystone beside other people's programs on the same bytes, taking turns.
//!
//! [`store`] measures the commands beside cp, borg and restic. A round runs everything once, a figure is the median of the rounds, and a ratio is taken within a round before its median is: what slows the
//! whole machine down slows both.

mod noise;
mod store;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use store::Args;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    store::run(args)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]).to_bits(), 5.0_f64.to_bits());
        assert_eq!(median(vec![10.0, 9.0, 100.0, 1.0]).to_bits(), 10.0_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }
}
