//! What the command line of `put` means, and which command lines make no sense. This is found out
//! before any source is read.

use std::collections::HashMap;
use std::path::Path;

use drystone_store::Key;

use super::key::own_name;
use super::source::shown;
use crate::args::PutArgs;
use crate::exit::Usage;

pub(super) fn check(args: &PutArgs) -> anyhow::Result<()> {
    standard_input_and_name(args)?;
    keys_that_no_source_can_have(args)?;
    sources_of_the_same_key(args)
}

fn standard_input_and_name(args: &PutArgs) -> Result<(), Usage> {
    let stdin = args.sources.iter().filter(|source| is_stdin(source)).count();
    if stdin > 1 {
        return Err(Usage("standard input can be put only once".into()));
    }
    if stdin == 1 && args.name.is_none() {
        return Err(Usage("standard input has no name: add --name KEY".into()));
    }
    if stdin == 0 && args.allow_empty {
        return Err(Usage("--allow-empty is for standard input, which is the SRC `-`".into()));
    }
    if args.name.is_some() && args.sources.len() != 1 {
        return Err(Usage("--name names one object, so give one SRC".into()));
    }
    if args.name.is_some() && args.sources[0].is_dir() {
        return Err(Usage(
            "--name is for a file or standard input; use --prefix for a folder".into(),
        ));
    }
    Ok(())
}

/// Refused once, here: the same error for every file would say no more.
fn keys_that_no_source_can_have(args: &PutArgs) -> Result<(), Usage> {
    let refused = |flag: &str, text: &str, key: String| match Key::new(key) {
        Ok(_) => Ok(()),
        Err(error) => Err(Usage(format!("{flag} `{}`: {error}", text.escape_debug()))),
    };
    if let Some(name) = &args.name {
        refused("--name", name, name.clone())?;
        return refused("--prefix", &args.prefix, format!("{}{name}", args.prefix));
    }
    // The shortest key that a file below the prefix can have.
    refused("--prefix", &args.prefix, format!("{}f", args.prefix))
}

/// Within one folder no two files have the same key, so two sources can only meet by their own
/// names. It would be a matter of chance which of the two objects stays: they are read and
/// committed side by side.
fn sources_of_the_same_key(args: &PutArgs) -> anyhow::Result<()> {
    let mut seen: HashMap<String, &Path> = HashMap::new();
    for source in args.sources.iter().filter(|source| !is_stdin(source)) {
        let name = match own_name(source) {
            Ok(name) => name,
            Err(error) if error.is::<Usage>() => return Err(error),
            // `put` reports this error when the source's turn comes, and stores the others.
            Err(_) => continue,
        };
        let key = format!("{}{name}", args.prefix);
        if let Some(first) = seen.insert(name, source) {
            return Err(Usage(format!(
                "`{}` and `{}` would both become `{}`: put them one after the other, each with \
                 its own --prefix",
                shown(first),
                shown(source),
                key.escape_debug()
            ))
            .into());
        }
    }
    Ok(())
}

pub(super) fn is_stdin(source: &Path) -> bool {
    source.as_os_str() == "-"
}
