//! Whether the files that were unpacked from a package work: the program, its pages, its
//! completions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::{Finished, Log};
use crate::stage::{Context, minutes};

/// Tries all of it. Returns what was not tried because this machine has no program to try it with.
pub(super) fn all(name: &str, root: &Path, context: &Context, log: &Log) -> Result<Vec<String>> {
    let run = |mut command: Command| -> Result<Finished> {
        command.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100");
        context.runner.run(command, log, minutes(1))
    };
    let mut version = Command::new(root.join("usr/bin").join(name));
    version.arg("--version");
    let said = run(version)?.output;
    let expected = format!("{name} {}", env!("CARGO_PKG_VERSION"));
    ensure!(said.trim() == expected, "the packed program says {:?}, not {expected:?}", said.trim());

    let mut untried = Vec::new();
    if is_here("man") {
        let folder = root.join("usr/share/man/man1");
        for page in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let page = page?.path();
            let mut man = Command::new("man");
            man.args(["--warnings", "--local-file"]).arg(&page);
            let shown = run(man)?;
            let is_whole =
                ["NAME", "SYNOPSIS"].iter().all(|heading| shown.output.contains(heading));
            let is_clean = !shown.output.contains("warning:") && shown.succeeded();
            ensure!(
                is_whole && is_clean,
                "{} cannot be shown: see {}",
                page.display(),
                log.path().display()
            );
        }
    } else {
        untried.push("pages not shown: this machine has no man".to_owned());
    }
    for (shell, path) in [
        ("bash", format!("usr/share/bash-completion/completions/{name}")),
        ("zsh", format!("usr/share/zsh/vendor-completions/_{name}")),
        ("fish", format!("usr/share/fish/vendor_completions.d/{name}.fish")),
    ] {
        if !is_here(shell) {
            untried.push(format!("completions for {shell} not tried: it is not here"));
            continue;
        }
        let mut offered = Command::new(shell);
        // Without `-f`, zsh would read the settings of the user.
        offered
            .args((shell == "zsh").then_some("-f"))
            .args(["-c", &script(shell, name)])
            .arg(root.join(path));
        let done = run(offered)?;
        let offers = done.output.lines().any(|line| line.trim().starts_with("completions"));
        ensure!(
            done.succeeded() && offers,
            "{shell} is not offered the subcommands of {name}: see {}",
            log.path().display()
        );
    }
    Ok(untried)
}

/// Reads the completions, and prints what is offered for `NAME compl`.
fn script(shell: &str, name: &str) -> String {
    match shell {
        // Calls the registered function as bash calls it.
        "bash" => format!(
            r#"source "$0" && COMP_WORDS=({name} compl) COMP_CWORD=1 && _{name} {name} compl {name}
            printf '%s\n' "${{COMPREPLY[@]}}""#
        ),
        // These completions work only at an interactive prompt. So this replaces the function that
        // describes them there by one that prints them.
        "zsh" => format!(
            r#"autoload -U compinit && compinit -u -D && source "$0" || exit
            _describe() {{ print -l -- ${{(P)4}} }}
            _{name}_commands"#
        ),
        _ => format!("source $argv[1]; complete --do-complete '{name} compl'"),
    }
}

fn is_here(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", program])
        .status()
        .is_ok_and(|s| s.success())
}
