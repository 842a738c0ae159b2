//! `bench`.
use crate::args::BenchArgs;
use crate::exit::{Exit, Outcome};
use crate::output::Output;
use crate::settings::Settings;

pub(crate) fn run(_settings: &Settings, _args: &BenchArgs, _output: &Output) -> Outcome {
    Ok(Exit::Success)
}
