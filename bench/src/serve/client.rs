//! The clients: curl sends and reads large bodies, wrk small ones.
//!
//! Times are those that curl, wrk and `date` measure. They do not include the time until the runner
//! notices that the client has ended.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use xtask::process::Log;
use xtask::stage::{Context, minutes};

use super::CLIENTS;
use super::contestant::{BASIC, USER};

/// How many objects the gets take turns among.
pub(super) const SMALL_OBJECTS: usize = 512;
pub(super) const SMALL_BYTES: usize = 4096;
/// The object of one put. Every server has done many more puts when the time is over.
const PROBE_KEY: &str = "t1-20";
const UP: &str =
    "for n in $(seq \"$count\"); do curl \"$@\" -o /dev/null -T \"$folder/c$n\" \"$url$n\" & done";
const DOWN: &str = "for n in $(seq \"$count\"); do curl \"$@\" -o /dev/null \"$url$n\" & done";
const WROTE: &str = "\\ndone %{http_code} %{time_total} %{size_upload} %{size_download}\\n";

const SIGNED: [&str; 4] = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", USER];

/// One transfer, or many at a time taken as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timed {
    pub(super) seconds: f64,
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// Who sends a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    Anonymous,
    Basic,
}

pub(super) struct Client<'a> {
    pub(super) context: &'a Context,
    pub(super) log: &'a Log,
    pub(super) login: Login,
}

impl Client<'_> {
    pub(super) fn make_bucket(&self, url: &str) -> Result<()> {
        let mut command = Command::new("curl");
        self.output_of(command.args(self.curl()).args(["-o", "/dev/null", "-X", "PUT", url]))?;
        Ok(())
    }

    /// A plain PUT.
    pub(super) fn upload(&self, file: &Path, url: &str) -> Result<Timed> {
        let mut command = Command::new("curl");
        command.args(self.curl()).args(["-o", "/dev/null", "-T"]).arg(file).arg(url);
        one(&self.output(command)?, Way::Up)
    }

    pub(super) fn download(&self, url: &str) -> Result<Timed> {
        let mut command = Command::new("curl");
        command.args(self.curl()).args(["-o", "/dev/null", url]);
        one(&self.output(command)?, Way::Down)
    }

    /// An S3 PUT, signed together with the SHA-256 of its body.
    pub(super) fn upload_signed(&self, file: &Path, sha256: &str, url: &str) -> Result<Timed> {
        one(&self.output(signed(file, sha256, url))?, Way::Up)
    }

    /// Whether the server refuses an S3 PUT whose body is not the one that was signed.
    pub(super) fn is_verified(&self, file: &Path, url: &str) -> Result<bool> {
        let done =
            self.context.runner.run(signed(file, &"0".repeat(64), url), self.log, minutes(1))?;
        let code = transfers(&done.output)?.first().map(|transfer| transfer.code);
        Ok(!done.succeeded() && code.is_some_and(|code| (400..500).contains(&code)))
    }

    /// All clients at once. Their files are `c1`, `c2`, … in the folder, and have the same names
    /// below the address.
    pub(super) fn at_once(&self, way: Way, folder: &Path, url: &str) -> Result<Timed> {
        let each = if way == Way::Up { UP } else { DOWN };
        let script = format!(
            "count=$1 folder=$2 url=$3; shift 3; date +at-%s.%N; {each}; wait; date +at-%s.%N"
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, "sh"])
            .arg(CLIENTS.to_string())
            .arg(folder)
            .arg(format!("{url}c"));
        let output = self.output_of(command.args(self.curl()))?;
        let bytes = all(&output, CLIENTS, way)?;
        Ok(Timed { seconds: elapsed(&output)?, bytes })
    }

    /// The SHA-256 of the bytes that a download gives.
    pub(super) fn sha256(&self, url: &str) -> Result<String> {
        let mut command = Command::new("sh");
        command
            .args(["-c", "curl \"$@\" | sha256sum", "sh", "-sS", "--fail"])
            .args(self.login.curl())
            .arg(url);
        digest(&self.output(command)?)
    }

    /// The same by S3.
    pub(super) fn sha256_signed(&self, url: &str) -> Result<String> {
        let mut command = Command::new("sh");
        command.args(["-c", "curl \"$@\" | sha256sum", "sh", "-sS", "--fail"]).args(SIGNED);
        // S3 requires this header of every client. This version of curl does not send it by itself.
        command.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        digest(&self.output_of(command.arg(url))?)
    }

    /// Puts the objects that [`Self::small`] gets. Their files are in the folder.
    pub(super) fn upload_small(&self, folder: &Path, url: &str) -> Result<()> {
        let mut command = Command::new("curl");
        command.args(self.curl()).arg("-T").arg(format!("s[000-{}]", SMALL_OBJECTS - 1)).arg(url);
        all(&self.output_of(command.current_dir(folder))?, SMALL_OBJECTS, Way::Up)?;
        Ok(())
    }

    /// Small requests a second from all clients.
    pub(super) fn small(
        &self,
        way: Way,
        seconds: u64,
        small: &Small<'_>,
        url: &str,
    ) -> Result<f64> {
        let path = url
            .splitn(4, '/')
            .nth(3)
            .map(|path| format!("/{path}"))
            .context("an address with a path")?;
        let mut command = Command::new("wrk");
        // More threads would take cores from the server; a slow answer is no error.
        command.args([
            "-t2",
            &format!("-c{CLIENTS}"),
            &format!("-d{seconds}s"),
            "--timeout",
            "30s",
            "-s",
        ]);
        command.arg(small.script).arg(url).args([
            "--",
            if way == Way::Up { "PUT" } else { "GET" },
            &path,
        ]);
        command.arg(small.body);
        if self.login == Login::Basic {
            command.arg(format!("Basic {BASIC}"));
        }
        requests_per_second(&self.output(command)?)
    }

    /// Whether the object of a put by [`Self::small`] can be read, with its own bytes.
    pub(super) fn small_is_there(
        &self,
        small: &Small<'_>,
        scratch: &Path,
        url: &str,
    ) -> Result<()> {
        let mut body =
            std::fs::read(small.body).with_context(|| format!("read {}", small.body.display()))?;
        body.splice(..16, format!("{PROBE_KEY:<16}").into_bytes());
        std::fs::write(scratch, body).with_context(|| format!("write {}", scratch.display()))?;
        let there = self.sha256(&format!("{url}{PROBE_KEY}"))?;
        ensure!(
            there == self.sha256_of_file(scratch)?,
            "a small object has other bytes than were put"
        );
        Ok(())
    }

    pub(super) fn sha256_of_file(&self, file: &Path) -> Result<String> {
        let mut command = Command::new("sha256sum");
        digest(&self.output_of(command.arg("--").arg(file))?)
    }

    /// Bytes that were written before must not be written back while the next measurement runs.
    pub(super) fn write_back(&self, folder: &Path) -> Result<()> {
        let mut command = Command::new("sync");
        self.output_of(command.arg("-f").arg(folder))?;
        Ok(())
    }

    fn curl(&self) -> Vec<&'static str> {
        [&["-sS", "--fail", "-w", WROTE], self.login.curl()].concat()
    }

    fn output_of(&self, command: &mut Command) -> Result<String> {
        self.output(std::mem::replace(command, Command::new("true")))
    }

    fn output(&self, command: Command) -> Result<String> {
        let shown = xtask::process::shown(&command);
        let done = self.context.runner.run(command, self.log, minutes(20))?;
        if let Some(reason) = done.reason() {
            let said =
                done.output.lines().rfind(|line| line.contains("curl:") || line.contains("sh:"));
            bail!("`{}`: {reason} {}", xtask::process::cut(&shown, 120), said.unwrap_or_default());
        }
        Ok(done.output)
    }
}

impl Login {
    fn curl(self) -> &'static [&'static str] {
        match self {
            Self::Anonymous => &[],
            Self::Basic => &["--user", USER],
        }
    }
}

/// What [`Client::small`] needs.
pub(super) struct Small<'a> {
    pub(super) script: &'a Path,
    pub(super) body: &'a Path,
}

fn signed(file: &Path, sha256: &str, url: &str) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail", "-w", WROTE, "-o", "/dev/null"]).args(SIGNED).arg("-H");
    command.arg(format!("x-amz-content-sha256: {sha256}")).arg("-T").arg(file).arg(url);
    command
}

/// What curl says of one transfer.
#[derive(Debug, PartialEq)]
struct Transfer {
    code: u16,
    seconds: f64,
    bytes_up: u64,
    bytes_down: u64,
}

impl Transfer {
    fn bytes(&self, way: Way) -> u64 {
        if way == Way::Up { self.bytes_up } else { self.bytes_down }
    }
}

fn transfers(output: &str) -> Result<Vec<Transfer>> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("done "));
    lines.map(|line| transfer(line).with_context(|| format!("curl says `{line}`"))).collect()
}

fn transfer(line: &str) -> Option<Transfer> {
    let mut fields = line.split(' ');
    let found = Transfer {
        code: fields.next()?.parse().ok()?,
        seconds: fields.next()?.parse().ok()?,
        bytes_up: fields.next()?.parse().ok()?,
        bytes_down: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(found)
}

fn one(output: &str, way: Way) -> Result<Timed> {
    let bytes = all(output, 1, way)?;
    let seconds = transfers(output)?.iter().map(|transfer| transfer.seconds).sum();
    Ok(Timed { seconds, bytes })
}

/// The bytes of so many transfers. An error if a transfer is missing or was refused.
fn all(output: &str, count: usize, way: Way) -> Result<u64> {
    let transfers = transfers(output)?;
    ensure!(transfers.len() == count, "{} of {count} transfers ended", transfers.len());
    if let Some(refused) = transfers.iter().find(|transfer| !(200..300).contains(&transfer.code)) {
        bail!("a transfer was answered with {}", refused.code);
    }
    Ok(transfers.iter().map(|transfer| transfer.bytes(way)).sum())
}

/// The seconds between the two times that `date` has written.
fn elapsed(output: &str) -> Result<f64> {
    let times: Vec<(u64, u64)> = output
        .lines()
        .filter_map(|line| line.strip_prefix("at-")?.split_once('.'))
        .map(|(seconds, nanos)| Ok((seconds.parse()?, nanos.parse()?)))
        .collect::<Result<_>>()?;
    let [(seconds, nanos), (later_seconds, later_nanos)] = times[..] else {
        bail!("not two times but {times:?}")
    };
    // Seconds and nanoseconds are subtracted apart, because a double cannot hold the nanoseconds of
    // a whole clock.
    Ok((later_seconds as f64 - seconds as f64) + (later_nanos as f64 - nanos as f64) / 1e9)
}

fn digest(output: &str) -> Result<String> {
    // The shell gives only the exit code of the last command of a pipe.
    if let Some(line) = output.lines().find(|line| line.starts_with("curl: (")) {
        bail!("{line}");
    }
    let words = output.lines().filter_map(|line| line.split(' ').next());
    let mut digests =
        words.filter(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digests.next().map(str::to_owned).context("sha256sum has said nothing")
}

/// The rate that wrk prints. An error if requests were refused or connections broke: they did no
/// work.
fn requests_per_second(output: &str) -> Result<f64> {
    for wrong in ["Non-2xx or 3xx responses:", "Socket errors:"] {
        if let Some(line) = output.lines().find(|line| line.trim_start().starts_with(wrong)) {
            bail!("wrk says: {}", line.trim());
        }
    }
    let line = output.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|text| text.trim().parse().ok())
        .context("wrk has not said how many requests a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "a body\ndone 201 0.500000 1000 12\n\ndone 204 0.25 2000 0\n";

    #[test]
    fn transfers_are_found_between_bodies() {
        let (first, second) = (
            Transfer { code: 201, seconds: 0.5, bytes_up: 1000, bytes_down: 12 },
            Transfer { code: 204, seconds: 0.25, bytes_up: 2000, bytes_down: 0 },
        );
        assert_eq!(transfers(TWO).expect("two transfers"), [first, second]);
        assert!(transfers("done 201 0.5 1000\n").is_err());
        assert!(transfers("done 201 0.5 1000 12 13\n").is_err());
        assert!(transfers("done 201 x 1000 12\n").is_err());
    }

    #[test]
    fn a_refused_or_missing_transfer_is_no_figure() {
        assert_eq!(all(TWO, 2, Way::Up).expect("both"), 3000);
        assert_eq!(all(TWO, 2, Way::Down).expect("both"), 12);
        assert!(all(TWO, 3, Way::Up).is_err());
        assert!(all(TWO, 1, Way::Up).is_err());
        for code in ["199", "300", "403", "503"] {
            assert!(one(&format!("done {code} 0.5 1000 12"), Way::Up).is_err(), "{code}");
        }
        let timed = one("done 200 0.5 0 12", Way::Down).expect("one");
        assert_eq!(timed, Timed { seconds: 0.5, bytes: 12 });
    }

    #[test]
    fn the_time_of_many_is_between_the_first_and_the_last() {
        let output = "at-1790000000.999000000\n\ndone 201 9.0 1 0\nat-1790000002.249000000\n";
        assert!((elapsed(output).expect("two times") - 1.25).abs() < 1e-9);
        assert!(elapsed("at-1790000000.999000000\n").is_err());
        assert!(elapsed("at-1.x\nat-2.0\n").is_err());
    }

    #[test]
    fn a_digest_is_found_after_the_command() {
        let digest_of = "0123456789abcdef".repeat(4);
        assert_eq!(digest(&format!("$ curl x\n{digest_of}  -\n")).expect("a digest"), digest_of);
        assert!(digest(&format!("{}  -\n", &digest_of[1..])).is_err());
        assert!(digest(&format!("curl: (22) error: 400\n{digest_of}  -\n")).is_err());
    }

    #[test]
    fn errors_that_wrk_counts_are_no_figure() {
        let good = "  2 threads and 16 connections\n  Latency  1.2ms\nRequests/sec:  \
             28123.45\nTransfer/sec: 9MB\n";
        assert_eq!(requests_per_second(good).expect("a rate").to_bits(), 28123.45_f64.to_bits());
        for wrong in [
            "  Non-2xx or 3xx responses: 7\n",
            "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
        ] {
            assert!(requests_per_second(&format!("{wrong}{good}")).is_err(), "{wrong}");
        }
        assert!(requests_per_second("unable to connect\n").is_err());
    }
}
