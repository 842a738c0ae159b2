//! The clients that people already have, unmodified, against the S3 face.
//!
//! Each script below `tests/clients` is one client. Where a client is not installed its test says
//! so and does nothing: it is not ours to install.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{ACCESS, Running, SECRET, config, put_key, skipped};
use drystone_server::ServerConfig;
use drystone_store::{BucketName, Grant};

/// Where `cargo xtask` keeps the clients that have a folder of their own, if it has installed any.
fn tools() -> PathBuf {
    std::env::var_os("DRYSTONE_TOOLS").map(PathBuf::from).unwrap_or_default()
}

/// The clients that are found in the search path, and those that node finds.
fn client(program: impl AsRef<OsStr>) -> Command {
    let mut client = Command::new(program);
    client.env("NODE_PATH", tools().join("javascript/node_modules"));
    client
}

/// Runs a script with `interpreter`, if `probe` can be run.
fn run(probe: &[&str], interpreter: &str, script: &str, arguments: &[&str]) {
    let (program, probing) = probe.split_first().unwrap();
    let probed = client(program).args(probing).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probed.is_ok_and(|status| status.success()) {
        skipped(&format!("{script} needs a client that is not here; `{}` fails", probe.join(" ")));
        return;
    }
    let server = Running::start(ServerConfig { connections: 64, transfers: 32, ..config() });
    let none = Grant { bucket: None, read: false, write: false, list: false, admin: false };
    put_key(&server.store, "reader", vec![Grant { read: true, ..none.clone() }]);
    put_key(&server.store, "writer", vec![Grant { write: true, ..none.clone() }]);
    put_key(
        &server.store,
        "other",
        vec![Grant { bucket: BucketName::new("files").ok(), admin: true, ..none }],
    );
    let work = tempfile::tempdir().unwrap();
    // Cargo runs tests in the folder of their package. A path put in by the compiler would name
    // another checkout where two share a target folder.
    let script = Path::new("tests/clients").join(script);
    let mut client = client(interpreter);
    // The profiles of the user who runs the test must not be read.
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "RCLONE_", "RESTIC_"]
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            client.env_remove(name);
        }
    }
    let output = client
        .arg(&script)
        .args(arguments)
        .env("ENDPOINT", format!("http://{}", server.address))
        .env("AWS_ACCESS_KEY_ID", ACCESS)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("OTHER_KEYS", "1")
        .env("WORK", work.path())
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{} failed\n{}\n{}", script.display(), said[0], said[1]);
}

/// The command line of AWS has two versions under one name, of which a machine may have both.
fn run_aws(version: &str) {
    let probe = format!(
        "IFS=:; for folder in $PATH; do \"$folder/aws\" --version 2>&1 | grep -q ^aws-cli/{version}\\. && exit; done; exit 1"
    );
    run(&["sh", "-c", &probe], "sh", "s3_awscli.sh", &[version]);
}

#[test]
fn boto3_finds_everything_as_in_s3() {
    run(&["python3", "-c", "import boto3"], "python3", "s3_boto3.py", &[]);
}

#[test]
fn an_operation_that_is_not_here_changes_nothing() {
    run(&["python3", "-c", "import boto3"], "python3", "s3_operations.py", &[]);
}

#[test]
fn the_aws_command_line_copies_syncs_and_presigns() {
    run_aws("1");
}

#[test]
fn the_aws_command_line_2_copies_syncs_and_presigns() {
    run_aws("2");
}

#[test]
fn rclone_copies_checks_and_syncs() {
    run(&["rclone", "version"], "sh", "s3_rclone.sh", &[]);
}

#[test]
fn s3cmd_puts_gets_and_syncs() {
    run(&["s3cmd", "--version"], "sh", "s3_s3cmd.sh", &[]);
}

#[test]
fn s5cmd_copies_and_syncs_many_at_a_time() {
    run(&["s5cmd", "version"], "sh", "s3_s5cmd.sh", &[]);
}

#[test]
fn restic_keeps_a_backup() {
    run(&["restic", "version"], "sh", "s3_restic.sh", &[]);
}

#[test]
fn pyarrow_writes_files_and_datasets() {
    run(&["python3", "-c", "import pyarrow.fs"], "python3", "s3_pyarrow.py", &[]);
}

#[test]
fn s3fs_is_a_file_system() {
    let python = tools().join("s3fs/bin/python");
    let python = python.to_str().unwrap();
    run(&[python, "-c", "import s3fs"], python, "s3_s3fs.py", &[]);
}

#[test]
fn the_sdk_for_javascript_sends_streams() {
    run(&["node", "-e", "require('@aws-sdk/client-s3')"], "node", "s3_javascript.js", &[]);
}
