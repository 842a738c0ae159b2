//! The command, as a user starts it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn fdwatch(arguments: &[&str]) -> Command {
    // A signal that the tests were started with as ignored (`nohup`, a background job) would stay
    // ignored.
    let mut command = Command::new("env");
    command
        .args(["--default-signal", env!("CARGO_BIN_EXE_fdwatch")])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    fdwatch(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process that opens a file whenever it is told to, until its input ends.
struct Opener(Child);

impl Opener {
    fn start(file: &Path) -> Self {
        let script = "echo up; while read -r n; do eval \"exec $n<\\\"$1\\\"\"; echo \"$n\"; done";
        let mut child = Command::new("bash")
            .args(["-c", script, "bash"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn open(&mut self, fds: std::ops::Range<u32>) {
        for fd in fds {
            writeln!(self.0.stdin.as_mut().unwrap(), "{fd}").unwrap();
            let mut line = String::new();
            BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, format!("{fd}\n"));
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_process_that_is_not_there_is_gone_and_one_that_cannot_be_meant_is_wrong_usage() {
    for (arguments, code, said) in [
        (&["4194305"][..], 3, "there is no process 4194305"),
        (&["no\nbody"], 3, "no process is called `no\\nbody`"),
        (&[], 64, "PID|NAME"),
        (&["1", "--interval", "0"], 64, "10ms is the least"),
        (&["1", "--json", "--csv"], 64, "cannot both"),
        (&["1", "--html", "/nowhere/at/all.html"], 74, "/nowhere/at/all.html cannot be written"),
        (&["1", "--prometheus", "nonsense"], 64, "no address"),
        (&["run"], 64, "COMMAND"),
        (&["run", "--csv", "--", "true"], 64, "standard output is the command's"),
        (&["run", "--", "/no/such/command"], 127, "command not found"),
        (&["run", "--", "/"], 126, "cannot be executed"),
    ] {
        let output = output(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn a_steady_process_is_seen_with_its_kinds() {
    let mut opener = Opener::start(Path::new("Cargo.toml"));
    opener.open(20..23);
    let output = output(&[&opener.pid(), "--json", "--duration", "50ms", "--interval", "10ms"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, others) = lines.split_last().unwrap();
    assert!(
        last["final"].as_bool().unwrap()
            && others.iter().all(|line| !line["final"].as_bool().unwrap())
    );
    assert!(others.len() >= 2, "a count at the beginning and one at the end");
    let groups = last["processes"][0]["groups"].as_array().unwrap();
    let of_file =
        |group: &&Value| group["pattern"].as_str().unwrap().ends_with("/fdwatch-cli/Cargo.toml");
    let group = groups.iter().find(of_file).unwrap();
    assert_eq!((&group["kind"], &group["count"]), (&Value::from("file"), &Value::from(3)));
}

#[test]
fn more_descriptors_than_were_allowed_are_near_a_limit() {
    let mut opener = Opener::start(Path::new("Cargo.toml"));
    opener.open(20..30);
    let pid = opener.pid();
    let watched = output(&[&pid, "--duration", "0", "--fail-over", "10"]);
    assert_eq!(watched.status.code(), Some(2));
    let said = text(&watched.stdout);
    assert!(said.starts_with("NEAR") && said.contains("bash"), "{said}");
    assert_eq!(output(&[&pid, "--duration", "0", "--fail-over", "1000"]).status.code(), Some(0));
}

#[test]
fn every_picture_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let opener = Opener::start(Path::new("Cargo.toml"));
    std::fs::write(path("a.html"), "old").unwrap();
    let ended = fdwatch(&[&opener.pid(), "--duration", "30ms", "--interval", "10ms"])
        .arg("--html")
        .arg(path("a.html"))
        .arg("--svg")
        .arg(path("a.svg"))
        .arg(format!("--csv={}", path("a.csv").display()))
        .arg(format!("--json={}", path("a.ndjson").display()))
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert!(read("a.html").starts_with("<!") && read("a.html").contains(&opener.pid()));
    assert!(read("a.svg").contains("<svg"));
    assert!(read("a.csv").lines().count() >= 3 && read("a.ndjson").lines().count() >= 3);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left beside them");
}

#[test]
fn metrics_are_served_while_it_watches() {
    let mut opener = Opener::start(Path::new("Cargo.toml"));
    opener.open(20..23);
    // A long interval: an answer must not wait for the next count.
    let mut watch = fdwatch(&[&opener.pid(), "--prometheus", "0", "--interval", "1h", "--no-live"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(watch.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1.strip_suffix("/metrics").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("fdwatch_open_descriptors"), "{answer}");
    let pid = rustix::process::Pid::from_child(&watch);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = watch.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "Ctrl-C is the usual end");
    assert!(text(&ended.stdout).contains("bash"));
}

#[test]
fn a_watch_ends_with_its_target() {
    let opener = Opener::start(Path::new("Cargo.toml"));
    let watch =
        fdwatch(&[&opener.pid(), "--interval", "10ms"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(opener);
    assert_eq!(watch.wait_with_output().unwrap().status.code(), Some(3));
}

#[test]
fn a_command_keeps_its_output_and_its_code() {
    let ended = output(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(7), "out\n"));
    assert!(text(&ended.stderr).starts_with("err\n"));
    let killed = output(&["run", "--", "sh", "-c", "kill -SEGV $$"]);
    assert_eq!(killed.status.code(), Some(128 + 11));
}

#[test]
fn what_a_command_leaves_behind_is_named_and_killed_if_asked_to() {
    let script = "sleep 300 >/dev/null 2>&1 & echo $!";
    let ended = output(&["run", "--kill-leftovers", "--", "sh", "-c", script]);
    let (pid, said) = (text(&ended.stdout).trim().to_owned(), text(&ended.stderr));
    assert_eq!(ended.status.code(), Some(0));
    assert!(said.contains("Left behind: 1 process ") && said.contains(&pid), "{said}");
    assert!(said.contains("Killed 1"), "{said}");
}

/// It opens one at each look, so that the load of the machine does not matter.
#[test]
fn a_check_of_a_command_that_leaks_for_some_seconds_fails() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script =
        "n=20; while read -r line; do eval \"exec $n</dev/null\"; n=$((n + 1)); done; exit 0";
    let mut run = fdwatch(&["run", "--check"])
        .arg(format!("--json={}", seen.display()))
        .args(["--", "bash", "-c", script])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let looks = || std::fs::read_to_string(&seen).map_or(0, |text| text.matches('\n').count());
    let deadline = Instant::now() + Duration::from_secs(120);
    for look in 1..60 {
        while looks() < look {
            assert!(Instant::now() < deadline, "it is not looked at");
            std::thread::sleep(Duration::from_millis(1));
        }
        writeln!(run.stdin.as_mut().unwrap(), "one more").unwrap();
    }
    drop(run.stdin.take());
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    let said = text(&ended.stderr);
    assert!(said.starts_with("LEAKING") && said.contains(" opened, 0 closed in "), "{said}");
}

#[test]
fn a_check_of_a_command_fails_where_the_command_itself_does_not() {
    let allowed = |most: &str, script: &str| {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let mut run = fdwatch(&["run", "--fail-over", most])
            .arg(format!("--json={}", seen.display()))
            .args(["--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It must not end before it has been counted.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !std::fs::read_to_string(&seen).is_ok_and(|text| text.ends_with('\n')) {
            assert!(Instant::now() < deadline, "it is never counted");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(run.stdin.take());
        run.wait().unwrap().code()
    };
    assert_eq!(allowed("1", "read -r line; exit 0"), Some(2));
    assert_eq!(allowed("100000", "read -r line; exit 0"), Some(0));
    assert_eq!(allowed("1", "read -r line; exit 5"), Some(5));
}

#[test]
fn processes_are_found_by_their_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("only this one has it");
    std::fs::write(&file, "").unwrap();
    let (opener, _other) = (Opener::start(&file), Opener::start(Path::new("Cargo.toml")));
    let part = folder.path().file_name().unwrap().to_str().unwrap();
    let ended = output(&["--match", &format!("{part}/only this"), "--duration", "0", "--json"]);
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    let last: Value = serde_json::from_str(text(&ended.stdout).lines().last().unwrap()).unwrap();
    let pids: Vec<_> =
        last["processes"].as_array().unwrap().iter().map(|process| &process["pid"]).collect();
    assert_eq!(pids, [&Value::from(opener.pid().parse::<u32>().unwrap())]);
    for (arguments, said) in [
        (
            ["--match", "no such text anywhere\n"],
            "no process has `no such text anywhere\\n` in its command line",
        ),
        (["--cgroup", "/no/such/group"], "no process is in the cgroup /no/such/group"),
        (["--unit", "no-such-unit"], "no process is in the unit no-such-unit.service"),
    ] {
        let ended = output(&arguments);
        assert_eq!(ended.status.code(), Some(3), "{}", text(&ended.stderr));
        assert!(text(&ended.stderr).contains(said), "{}", text(&ended.stderr));
    }
}

#[test]
fn a_watch_until_something_leaks_ends_with_that_and_runs_a_command_once() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let mut opener = Opener::start(Path::new("Cargo.toml"));
    let command =
        format!("echo \"$FDWATCH_VERDICT $FDWATCH_PID $FDWATCH_KIND\" >> {}", said.display());
    let mut watch =
        fdwatch(&[&opener.pid(), "--until", "leaking", "--duration", "10m", "--on-leak", &command])
            .args(["--interval", "10ms", "--warm-up", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    // One at a time and for long enough, so that it is a leak and no jump.
    let has_ended = (20..900).any(|fd| {
        opener.open(fd..fd + 1);
        std::thread::sleep(Duration::from_millis(100));
        watch.try_wait().unwrap().is_some()
    });
    assert!(has_ended, "it goes on although it leaks");
    let pid = opener.pid();
    drop(opener);
    let ended = watch.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}{}", text(&ended.stdout), text(&ended.stderr));
    assert_eq!(std::fs::read_to_string(said).unwrap(), format!("leaking {pid} file\n"));
}

#[test]
fn what_grew_between_two_recordings_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut opener = Opener::start(Path::new("Cargo.toml"));
    let record = |pid: &str, name: &str| {
        let ended = output(&[pid, "--duration", "0", &format!("--json={}", path(name))]);
        assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    };
    record(&opener.pid(), "before");
    opener.open(20..25);
    record(&opener.pid(), "after");
    let ended = output(&["compare", &path("before"), &path("after")]);
    let said = text(&ended.stdout);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("+5 file") && said.contains("/fdwatch-cli/Cargo.toml (0 → 5, bash)"),
        "{said}"
    );
    for (arguments, code) in [
        (&["compare", "--allow", "5", &path("before"), &path("after")][..], 0),
        (&["compare", &path("after"), &path("before")], 0),
        (&["compare", &path("after"), &path("nothing")], 74),
        (&["compare", &path("after"), "Cargo.toml"], 74),
        (&["compare", &path("after")], 64),
    ] {
        assert_eq!(output(arguments).status.code(), Some(code), "{arguments:?}");
    }
}
