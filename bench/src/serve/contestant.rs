//! The servers that take turns, and how each is started.
//!
//! All run with their own defaults, apart from options that keep them quiet and inside their
//! folder. Only drystone asks for a key on plain HTTP. The others check no key, which is to their
//! advantage.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

const ACCESS: &str = "AAAAAAAAAAAAAAAAAAAA";
const SECRET: &str = "bench-secret-bench-secret-bench-secret-1";
/// `ACCESS:SECRET`, and the same in base64.
pub(super) const USER: &str = "AAAAAAAAAAAAAAAAAAAA:bench-secret-bench-secret-bench-secret-1";
pub(super) const BASIC: &str =
    "QUFBQUFBQUFBQUFBQUFBQUFBQUE6YmVuY2gtc2VjcmV0LWJlbmNoLXNlY3JldC1iZW5jaC1zZWNyZXQtMQ==";
/// S3 wants a name of at least three letters.
pub(super) const BUCKET: &str = "bench";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Drystone { sync: &'static str },
    Nginx,
    RcloneWebdav,
    RcloneS3,
    Dufs,
    Copyparty,
    S3sFs,
}

const ALL: [Kind; 8] = [
    Kind::Nginx,
    Kind::Drystone { sync: "never" },
    Kind::Drystone { sync: "commit" },
    Kind::RcloneWebdav,
    Kind::RcloneS3,
    Kind::Dufs,
    Kind::Copyparty,
    Kind::S3sFs,
];

/// The place where a server works, without anything of the user's environment.
pub(super) struct Site {
    pub(super) port: u16,
    /// Empty when the server is started, removed after it.
    pub(super) folder: PathBuf,
    pub(super) search_path: OsString,
}

/// A server that is installed.
#[derive(Clone, Debug)]
pub(super) struct Contestant {
    pub(super) kind: Kind,
    /// The first line of what it says of itself.
    pub(super) version: String,
    program: OsString,
}

/// The servers that are installed, and for each of the others its name and how to install it.
pub(super) fn find(
    drystone: &Path,
    search_path: &OsString,
) -> (Vec<Contestant>, Vec<(String, &'static str)>) {
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for kind in ALL {
        let program = match kind {
            Kind::Drystone { .. } => drystone.into(),
            other => other.program().into(),
        };
        match probe(&program, kind, search_path) {
            Some(version) => here.push(Contestant { kind, version, program }),
            None => missing.push((kind.name(), kind.advice())),
        }
    }
    (here, missing)
}

fn probe(program: &OsString, kind: Kind, search_path: &OsString) -> Option<String> {
    let (needs, what): (&[&str], _) = match kind {
        Kind::Nginx => (&["-V"], "http_dav_module"),
        // Older versions do not know the protocol, and show the help of `serve` instead.
        Kind::RcloneS3 => (&["serve", "s3", "--help"], "--auth-key"),
        _ => (&["--help"], ""),
    };
    if !output(program, needs, search_path)?.contains(what) {
        return None;
    }
    let version: &[&str] = match kind {
        Kind::Nginx => &["-v"],
        Kind::RcloneWebdav | Kind::RcloneS3 => &["version"],
        _ => &["--version"],
    };
    let said = output(program, version, search_path).unwrap_or_default();
    let line =
        said.lines().map(str::trim).find(|line| line.contains(|sign: char| sign.is_ascii_digit()));
    Some(line.unwrap_or("of an unknown version").to_owned())
}

/// What a program writes to standard output and error; `None` where it is missing or fails.
fn output(program: &OsString, args: &[&str], search_path: &OsString) -> Option<String> {
    // Through a shell: the program is looked for in the path that the child is given, not in ours.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(program).args(args).env("PATH", search_path);
    let done = command.stdin(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

impl Kind {
    pub(super) fn name(self) -> String {
        match self {
            Self::Drystone { sync } => format!("drystone --sync {sync}"),
            Self::Nginx => "nginx".to_owned(),
            Self::RcloneWebdav => "rclone serve webdav".to_owned(),
            Self::RcloneS3 => "rclone serve s3".to_owned(),
            Self::Dufs => "dufs".to_owned(),
            Self::Copyparty => "copyparty".to_owned(),
            Self::S3sFs => "s3s-fs".to_owned(),
        }
    }

    pub(super) fn is_drystone(self) -> bool {
        matches!(self, Self::Drystone { .. })
    }

    fn program(self) -> &'static str {
        match self {
            Self::Drystone { .. } => "drystone",
            Self::Nginx => "nginx",
            Self::RcloneWebdav | Self::RcloneS3 => "rclone",
            Self::Dufs => "dufs",
            Self::Copyparty => "copyparty",
            Self::S3sFs => "s3s-fs",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Drystone { .. } => "build it: cargo build --release -p drystone",
            Self::Nginx => "with its DAV module: apt-get install nginx-extras",
            Self::RcloneWebdav => "apt-get install rclone",
            Self::RcloneS3 => "rclone 1.65 or newer is needed: https://rclone.org/install/",
            Self::Dufs => "cargo install --locked --root target/tools dufs",
            Self::Copyparty => "python3 -m pip install copyparty",
            Self::S3sFs => {
                "cargo install --locked --root target/tools --features binary s3s-fs@0.14.1"
            }
        }
    }

    /// The address of the bucket for plain PUT and GET.
    pub(super) fn plain(self) -> Option<String> {
        match self {
            Self::Drystone { .. } => Some(format!("/_/files/{BUCKET}/")),
            Self::Nginx | Self::RcloneWebdav | Self::Dufs | Self::Copyparty => {
                Some(format!("/{BUCKET}/"))
            }
            Self::RcloneS3 | Self::S3sFs => None,
        }
    }

    /// The address of the bucket for S3.
    pub(super) fn s3(self) -> Option<String> {
        match self {
            Self::Drystone { .. } | Self::RcloneS3 | Self::S3sFs => Some(format!("/{BUCKET}/")),
            Self::Nginx | Self::RcloneWebdav | Self::Dufs | Self::Copyparty => None,
        }
    }
}

impl Contestant {
    #[cfg(test)]
    pub(super) fn named(kind: Kind, version: &str) -> Self {
        Self { kind, version: version.to_owned(), program: kind.program().into() }
    }

    /// Makes what the server needs in its folder. For all but drystone the bucket is a folder.
    pub(super) fn command(&self, site: &Site) -> Result<Command> {
        let port = site.port.to_string();
        let address = format!("127.0.0.1:{port}");
        let root = site.folder.join("root");
        if !self.kind.is_drystone() {
            fs::create_dir_all(root.join(BUCKET))
                .with_context(|| format!("create {}", root.display()))?;
        }
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\"", "sh"]).arg(&self.program).current_dir(&site.folder);
        command.env_clear().env("PATH", &site.search_path);
        command.env("HOME", &site.folder).env("XDG_CONFIG_HOME", site.folder.join("config"));
        command.env("TMPDIR", &site.folder);
        match self.kind {
            Kind::Drystone { sync } => {
                command
                    .arg("--store")
                    .arg(&root)
                    .args(["--sync", sync, "serve", "--listen", &address]);
                command.env("DRYSTONE_ACCESS_KEY", ACCESS).env("DRYSTONE_SECRET_KEY", SECRET);
                // Like the others, it does not log each request.
                command.env("DRYSTONE_LOG", "warn");
            }
            Kind::Nginx => {
                let conf = site.folder.join("nginx.conf");
                let is_root = rustix::process::geteuid().is_root();
                let text = nginx_conf(&site.folder, &address, is_root);
                fs::write(&conf, text).with_context(|| format!("write {}", conf.display()))?;
                command.args(["-e", "stderr", "-p"]).arg(&site.folder).arg("-c").arg(&conf);
            }
            Kind::RcloneWebdav => {
                command.args(["serve", "webdav", "--addr", &address]).arg(&root);
            }
            Kind::RcloneS3 => {
                command.args(["serve", "s3", "--addr", &address, "--auth-key"]);
                command.arg(format!("{ACCESS},{SECRET}")).arg(&root);
            }
            Kind::Dufs => {
                command.args([
                    "--allow-all",
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--log-format",
                    "",
                ]);
                command.arg(&root);
            }
            Kind::Copyparty => {
                // Every client may do everything in the folder that is its root.
                let mut volume = root.into_os_string();
                volume.push("::A");
                command.args(["-q", "-i", "127.0.0.1", "-p", &port, "-v"]).arg(volume);
            }
            Kind::S3sFs => {
                command.args(["--host", "127.0.0.1", "--port", &port]);
                command.args(["--access-key", ACCESS, "--secret-key", SECRET]).arg(&root);
            }
        }
        Ok(command)
    }
}

/// A static file server with DAV uploads and one worker for each core. Its temporary files are on
/// the disk of its root, so that an upload ends with a rename.
fn nginx_conf(folder: &Path, address: &str, is_root: bool) -> String {
    let folder = folder.display();
    let user = if is_root { "user root;\n" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path \"{folder}/{name}\";\n"))
        .collect();
    format!(
        "{user}worker_processes auto;
daemon off;
pid \"{folder}/nginx.pid\";
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_max_body_size 0;
{temporary}    server {{
        listen {address};
        root \"{folder}/root\";
        location / {{
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_missing_with_a_way_to_install_it() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let (here, missing) =
            find(&folder.path().join("drystone"), &folder.path().as_os_str().to_owned());
        assert!(here.is_empty());
        let names: Vec<String> = missing.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ALL.map(Kind::name));
    }

    #[test]
    fn an_older_rclone_has_no_s3() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a scratch directory");
        let rclone = folder.path().join("rclone");
        let mut path = folder.path().as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        for (flag, expected) in [("--addr", None), ("--auth-key", Some("rclone v1".to_owned()))] {
            let script = format!(
                "#!/bin/sh\ncase \"$1\" in serve) echo 'Flags: {flag}' ;; version) echo; echo ' \
                 rclone v1' ;; esac\n"
            );
            fs::write(&rclone, script).expect("a script");
            fs::set_permissions(&rclone, fs::Permissions::from_mode(0o755)).expect("it can be run");
            assert_eq!(probe(&"rclone".into(), Kind::RcloneS3, &path), expected);
            assert_eq!(
                probe(&"rclone".into(), Kind::RcloneWebdav, &path),
                Some("rclone v1".to_owned())
            );
        }
    }

    #[test]
    fn the_pair_is_the_same_in_each_form() {
        assert_eq!(USER, format!("{ACCESS}:{SECRET}"));
    }

    #[test]
    fn every_contestant_can_be_uploaded_to() {
        for kind in ALL {
            assert!(kind.plain().is_some() || kind.s3().is_some(), "{}", kind.name());
        }
    }
}
