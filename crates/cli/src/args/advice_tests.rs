//! Every command that a message advises exists. The messages are collected from the sources that
//! the binary is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use super::Cli;

/// The texts in backquotes that begin with our name, or with one of our commands.
fn advised(text: &str, commands: &BTreeSet<String>) -> Vec<String> {
    // Text behind the begin of a comment is for readers of the source. A line that goes on in the
    // next one is one text with it.
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("\\\n", "");
    let quoted = code.split('`').skip(1).step_by(2).map(|quoted| {
        let words: Vec<&str> = quoted.split_whitespace().collect();
        words.join(" ")
    });
    let is_ours = |quoted: &String| {
        let first = quoted.split(' ').next().unwrap_or_default();
        first == "drystone" || (commands.contains(first) && quoted.contains(' '))
    };
    quoted.filter(is_ours).collect()
}

/// Whether the command line would be understood. A value stands for each part that the message
/// fills in.
fn is_understood(advice: &str) -> bool {
    let filled = |word: &str| match word.find('{') {
        Some(_) => "abc".to_owned(),
        None => word.to_owned(),
    };
    let words = advice.split(' ').filter(|word| *word != "drystone").map(filled);
    match Cli::try_parse_from(std::iter::once("drystone".to_owned()).chain(words)) {
        Ok(_) => true,
        // A command's name without what it needs is advice enough.
        Err(error) => matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument
                | ErrorKind::DisplayHelp
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        ),
    }
}

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a folder of sources") {
        let path = entry.expect("a folder of sources").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_command_that_is_advised_exists() {
    let commands: BTreeSet<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of all crates");
    let mut files = Vec::new();
    for entry in fs::read_dir(crates).expect("the folder of all crates") {
        let src = entry.expect("the folder of all crates").path().join("src");
        if src.is_dir() {
            sources(&src, &mut files);
        }
    }
    let mut seen = 0;
    // This file holds examples of wrong advice.
    for file in files.iter().filter(|file| !file.ends_with("advice_tests.rs")) {
        for advice in advised(&fs::read_to_string(file).expect("a source"), &commands) {
            assert!(is_understood(&advice), "{}: `{advice}`", file.display());
            seen += 1;
        }
    }
    // A collection that finds nothing would also pass.
    assert!(seen >= 10, "{seen} found");
}

#[test]
fn advice_is_found_and_judged() {
    let commands = BTreeSet::from(["key".to_owned(), "ls".to_owned()]);
    let text = "// `drystone none`\n\
                let a = \"run `drystone key\\\n   revoke {x}` or `ls`, `key list`, `f`\";";
    assert_eq!(advised(text, &commands), ["drystone key revoke {x}", "key list"]);
    for good in [
        "drystone key revoke {x}",
        "key list",
        "drystone --store … key create --name me --admin",
        "drystone cat",
    ] {
        assert!(is_understood(good), "{good}");
    }
    for bad in
        ["drystone vacuum", "key remove", "drystone ls --everything", "drystone key revoke a b"]
    {
        assert!(!is_understood(bad), "{bad}");
    }
}
