//! Variables of the environment that begin like a setting but name none. Most of them are misspelt.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::{Command, CommandFactory as _};

use crate::args::Cli;
use crate::output::Output;

const PREFIX: &str = "DRYSTONE_";
/// Variables that are read without a flag of that name.
const WITHOUT_A_FLAG: [&str; 1] = ["DRYSTONE_LOG"];
/// Kubernetes gives such variables to every container beside a service that is called `drystone`.
const OF_KUBERNETES: [&str; 2] = ["DRYSTONE_PORT", "DRYSTONE_SERVICE_"];

/// Warns of such variables on standard error. They do not end the command: they may be meant for
/// another version, or for another program.
pub(crate) fn warn_of_unknown(output: &Output) {
    for name in unknown(std::env::vars_os().map(|(name, _)| name)) {
        output.note(format_args!(
            "drystone: there is no setting `{}`; `drystone help` and `drystone help serve` list \
             the variables",
            name.escape_debug()
        ));
    }
}

fn unknown(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let names = names.filter_map(|name| {
        let name = name.to_string_lossy().into_owned();
        let is_foreign = OF_KUBERNETES.iter().any(|foreign| name.starts_with(foreign));
        (name.starts_with(PREFIX) && !is_foreign).then_some(name)
    });
    let mut names: Vec<String> = names.collect();
    // Most environments have no such variable. Then the list of settings is not needed.
    if !names.is_empty() {
        let mut known: BTreeSet<OsString> = WITHOUT_A_FLAG.map(OsString::from).into();
        collect(&Cli::command(), &mut known);
        names.retain(|name| !known.contains(std::ffi::OsStr::new(name)));
        names.sort();
    }
    names
}

fn collect(command: &Command, known: &mut BTreeSet<OsString>) {
    known.extend(command.get_arguments().filter_map(|arg| arg.get_env()).map(OsString::from));
    command.get_subcommands().for_each(|command| collect(command, known));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_like_a_setting_and_is_none_is_unknown() {
        let names = [
            "HOME",
            "DRYSTONE_STOER",
            "DRYSTONE_STORE",
            "DRYSTONE_LOG",
            "DRYSTONE_LOG_FORMAT",
            "DRYSTONE_TLS_CERT",
            "DRYSTONE_SECRET_KEY",
            "DRYSTONE_PORT_7080_TCP",
            "DRYSTONE_SERVICE_HOST",
            "DRYSTONE_ACCES_KEY",
            "drystone_store",
        ];
        assert_eq!(
            unknown(names.into_iter().map(OsString::from)),
            ["DRYSTONE_ACCES_KEY", "DRYSTONE_STOER"]
        );
    }
}
