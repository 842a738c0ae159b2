//! `cargo peers`: drystone beside other people's programs on the same bytes, taking turns.
//!
//! [`store`] measures the commands beside cp, borg and restic. [`serve`] measures the server beside
//! nginx and others. In both, a round runs everything once, and a figure is the median of the
//! rounds. A ratio is taken within each round, before its median: what slows the whole machine down
//! in a round slows both sides of the ratio.

mod noise;
mod serve;
mod store;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

#[derive(clap::Parser)]
#[command(
    name = "cargo peers",
    about = "Measure drystone beside cp, borg and restic, or its server beside nginx and others",
    args_conflicts_with_subcommands = true
)]
struct Args {
    #[command(subcommand)]
    face: Option<Face>,
    #[command(flatten)]
    store: store::Args,
}

#[derive(clap::Subcommand)]
enum Face {
    /// Measure the server beside nginx, rclone, dufs, copyparty and s3s-fs, as far as they are
    /// installed
    Serve(serve::Args),
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    match &args.face {
        None => store::run(&args.store),
        Some(Face::Serve(args)) => serve::run(args),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_measured_without_a_word_and_the_server_with_one() {
        let parse =
            |line: &str| Args::try_parse_from(line.split(' ')).map(|args| args.face.is_some());
        assert_eq!(parse("peers --rounds 5 --mib 64").ok(), Some(false));
        assert_eq!(parse("peers serve --rounds 5 --size 64M --part small").ok(), Some(true));
        for wrong in ["peers --mib 64 serve", "peers serve --mib 64", "peers serve --rounds 0"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]).to_bits(), 5.0_f64.to_bits());
        assert_eq!(median(vec![10.0, 9.0, 100.0, 1.0]).to_bits(), 10.0_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }
}
