//! Which files belong into each Debian package, and whether the package has exactly those.

/// A package that `cargo xtask deb` builds.
pub(super) struct Package {
    /// Also the name of the program, its pages and its completions.
    pub(super) name: &'static str,
    pub(super) krate: &'static str,
    /// Files that must be there, as `dpkg-deb --contents` shows them.
    expected: &'static [(&'static str, &'static str)],
    /// Apart from documents, files may only be below these folders.
    folders: &'static [&'static str],
}

pub(super) const PACKAGES: [&Package; 2] = [&DRYSTONE, &FDWATCH];

const DRYSTONE: Package = Package {
    name: "drystone",
    krate: "drystone",
    expected: &[
        ("-rwxr-xr-x", "./usr/bin/drystone"),
        ("-rw-r--r--", "./etc/drystone/config.toml"),
        ("-rw-r--r--", "./usr/lib/systemd/system/drystone.service"),
        ("-rw-r--r--", "./usr/lib/sysusers.d/drystone.conf"),
        ("-rw-r--r--", "./usr/share/man/man1/drystone.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/drystone-serve.1.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/drystone"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_drystone"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/drystone.fish"),
        ("-rw-r--r--", "./usr/share/doc/drystone/README.Debian"),
        ("-rw-r--r--", "./usr/share/doc/drystone/README.md"),
        ("-rw-r--r--", "./usr/share/doc/drystone/server.md"),
        ("-rw-r--r--", "./usr/share/doc/drystone/copyright"),
        ("-rw-r--r--", "./usr/share/doc/drystone/LICENSE-APACHE"),
        ("-rw-r--r--", "./usr/share/doc/drystone/LICENSE-MIT"),
        ("-rw-r--r--", "./usr/share/doc/drystone/examples/grafana-dashboard.json"),
    ],
    folders: &[
        "./usr/bin/",
        "./etc/drystone/",
        "./usr/lib/systemd/system/",
        "./usr/lib/sysusers.d/",
        "./usr/share/man/man1/",
        "./usr/share/bash-completion/completions/",
        "./usr/share/zsh/vendor-completions/",
        "./usr/share/fish/vendor_completions.d/",
    ],
};

const FDWATCH: Package = Package {
    name: "fdwatch",
    krate: "fdwatch-cli",
    expected: &[
        ("-rwxr-xr-x", "./usr/bin/fdwatch"),
        ("-rw-r--r--", "./usr/share/man/man1/fdwatch.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/fdwatch-run.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/fdwatch-compare.1.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/fdwatch"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_fdwatch"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/fdwatch.fish"),
        ("-rw-r--r--", "./usr/share/doc/fdwatch/fdwatch.md"),
        ("-rw-r--r--", "./usr/share/doc/fdwatch/fdwatch-json.md"),
        ("-rw-r--r--", "./usr/share/doc/fdwatch/fdwatch.schema.json"),
        ("-rw-r--r--", "./usr/share/doc/fdwatch/copyright"),
        ("-rw-r--r--", "./usr/share/doc/fdwatch/LICENSE-APACHE"),
        ("-rw-r--r--", "./usr/share/doc/fdwatch/LICENSE-MIT"),
    ],
    folders: &[
        "./usr/bin/",
        "./usr/share/man/man1/",
        "./usr/share/bash-completion/completions/",
        "./usr/share/zsh/vendor-completions/",
        "./usr/share/fish/vendor_completions.d/",
    ],
};

impl Package {
    /// What is missing, has other permissions or another owner, or has no place in the package.
    pub(super) fn wrong_in(&self, contents: &str) -> Vec<String> {
        let rows = rows(contents);
        let mut wrong = Vec::new();
        for &(mode, path) in self.expected {
            match rows.iter().find(|row| row.2 == path) {
                None => wrong.push(format!("{path} is missing")),
                Some((found, ..)) if *found != mode => {
                    wrong.push(format!("{path} is {found}, not {mode}"));
                }
                Some(_) => {}
            }
        }
        let documents = format!("./usr/share/doc/{}/", self.name);
        let folders: Vec<&str> = self.folders.iter().copied().chain([&*documents]).collect();
        wrong.extend(misplaced(&rows, &folders));
        wrong
    }
}

/// The same for a package with debug information. [`super::debug_info`] checks which file it must
/// have.
pub(super) fn wrong_in_debug(contents: &str) -> Vec<String> {
    misplaced(&rows(contents), &["./usr/lib/debug/.build-id/"])
}

/// Mode, owner and path: `-rw-r--r-- root/root 123 2026-01-01 00:00 ./path`.
type Row<'a> = (&'a str, &'a str, &'a str);

fn rows(contents: &str) -> Vec<Row<'_>> {
    let row = |line| {
        let mut words = str::split_whitespace(line);
        let (mode, owner, path) = (words.next()?, words.next()?, words.nth(3)?);
        path.starts_with("./").then_some((mode, owner, path))
    };
    contents.lines().filter_map(row).collect()
}

/// Files with another owner than root, files that are not below one of `folders`, and files that
/// are not plain.
fn misplaced(rows: &[Row<'_>], folders: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for &(mode, owner, path) in rows {
        if owner != "root/root" && owner != "0/0" {
            wrong.push(format!("{path} belongs to {owner}"));
        }
        let is_folder = path.ends_with('/');
        let has_place = folders
            .iter()
            .any(|folder| path.starts_with(folder) || (is_folder && folder.starts_with(path)));
        let is_plain = if is_folder { mode == "drwxr-xr-x" } else { mode.starts_with("-rw") };
        if !has_place || !is_plain || mode[1..].contains(['s', 't', 'S', 'T']) {
            wrong.push(format!("{mode} {path} has no place here"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(package: &Package, change: impl Fn(&str) -> Option<String>) -> String {
        let folders =
            "drwxr-xr-x 0/0 0 2026-01-01 00:00 ./\ndrwxr-xr-x 0/0 0 2026-01-01 00:00 ./usr/\n";
        let line = |(mode, path): &(&str, &str)| {
            change(&format!("{mode} 0/0 7 2026-01-01 00:00 {path}\n"))
        };
        folders.chars().map(String::from).chain(package.expected.iter().filter_map(line)).collect()
    }

    #[test]
    fn a_package_is_what_is_expected_or_refused() {
        for package in PACKAGES {
            let name = package.name;
            let wrong_where = |change: &dyn Fn(&str) -> Option<String>| {
                package.wrong_in(&contents(package, change))
            };
            assert_eq!(wrong_where(&|line| Some(line.to_owned())), [""; 0]);
            let without = wrong_where(&|line| (!line.contains("/bin/")).then(|| line.to_owned()));
            assert_eq!(without, [format!("./usr/bin/{name} is missing")]);
            for (from, to) in [
                ("-rwxr-xr-x", "-rwsr-xr-x"),
                ("-rwxr-xr-x", "-rwxrwxrwx"),
                ("0/0 7", "1000/1000 7"),
                ("./usr/share/man/man1/", "./home/me/"),
            ] {
                assert!(
                    !wrong_where(&|line| Some(line.replace(from, to))).is_empty(),
                    "{from} {to}"
                );
            }
            let all = contents(package, |line| Some(line.to_owned()));
            let more = all + "-rw-r--r-- 0/0 7 2026-01-01 00:00 ./opt/x\n";
            assert_eq!(package.wrong_in(&more), ["-rw-r--r-- ./opt/x has no place here"]);
        }
    }

    #[test]
    fn a_package_of_debug_information_has_nothing_else() {
        let folder = "drwxr-xr-x 0/0 0 2026-01-01 00:00 ./usr/lib/debug/\n";
        let file = "-rw-r--r-- 0/0 7 2026-01-01 00:00 ./usr/lib/debug/.build-id/24/b7.debug\n";
        let both = format!("{folder}{file}");
        assert_eq!(wrong_in_debug(&both), [""; 0]);
        for (from, to) in [("lib/debug/.build-id", "bin"), ("0/0 7", "7/7 7"), ("rw-r", "rws-r")] {
            assert_eq!(wrong_in_debug(&both.replace(from, to)).len(), 1, "{from}");
        }
    }

    #[test]
    fn the_two_do_not_have_a_file_in_common() {
        let paths =
            |package: &Package| package.expected.iter().map(|(_, path)| *path).collect::<Vec<_>>();
        let (one, other) = (paths(&DRYSTONE), paths(&FDWATCH));
        assert!(one.iter().all(|path| !other.contains(path)));
    }
}
