//! Kernels and moments that are hard to come by.

use super::fixture::{FakeProcess, Fixture};
use super::*;
use crate::{Descriptor, Error, Kind, snapshot};

fn count(fixture: &Fixture, pid: u32) -> Result<Counted, Error> {
    let root = fixture.root();
    Tables::default().count(&root, &Process::open(&root, pid)?)
}

fn descriptors(fixture: &Fixture, pid: u32) -> Vec<Descriptor> {
    let root = fixture.root();
    let process = Process::open(&root, pid).unwrap();
    let mut found = snapshot::of_process(&root, &process, 100).unwrap().descriptors;
    found.sort_by_key(|descriptor| descriptor.fd);
    found
}

fn kinds(fixture: &Fixture, pid: u32) -> Vec<Kind> {
    descriptors(fixture, pid).iter().map(|descriptor| descriptor.kind).collect()
}

#[test]
fn without_sizes_the_folder_is_read() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess {
        targets: &[b"pipe:[1]", b"pipe:[2]", b"socket:[3]"],
        ..Default::default()
    });
    assert_eq!(count(&fixture, 100).unwrap(), Counted { descriptors: 3, has_ended: false });
    fixture.put(&FakeProcess::default());
    assert_eq!(count(&fixture, 100).unwrap(), Counted { descriptors: 0, has_ended: false });
}

#[test]
fn what_is_missing_is_an_error_and_never_zero() {
    let fixture = Fixture::new();
    assert!(matches!(count(&fixture, 100), Err(Error::Gone { pid: 100 })));
    fixture.put(&FakeProcess::default());
    std::fs::remove_dir(fixture.of(100).join("fd")).unwrap();
    assert!(matches!(count(&fixture, 100), Err(Error::Gone { .. })));
    fixture.put(&FakeProcess::default());
    for malformed in [&b""[..], b"100", b"100 (x) S", b"\xff"] {
        fixture.write(100, "stat", malformed);
        assert!(matches!(count(&fixture, 100), Err(Error::Read { .. })), "{malformed:?}");
    }
}

#[test]
fn a_pid_that_was_taken_up_again_is_another_process() {
    let fixture = Fixture::new();
    let root = fixture.root();
    fixture.put(&FakeProcess { start_ticks: 5000, ..Default::default() });
    let held = Process::open(&root, 100).unwrap();
    let key = held.key();
    assert!(Process::open_known(&root, key).is_ok());
    fixture.put(&FakeProcess { start_ticks: 5001, targets: &[b"pipe:[1]"], ..Default::default() });
    assert!(matches!(Process::open_known(&root, key), Err(Error::Gone { pid: 100 })));
    assert!(matches!(Tables::default().count(&root, &held), Err(Error::Gone { pid: 100 })));
}

#[test]
fn a_zombie_has_ended_and_a_leader_with_threads_has_not() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { state: b'Z', ..Default::default() });
    assert_eq!(count(&fixture, 100).unwrap(), Counted { descriptors: 0, has_ended: true });
    fixture.put(&FakeProcess { state: b'Z', threads: 2, ..Default::default() });
    fixture.write(100, "task/100/fd/.none", b"");
    assert_eq!(count(&fixture, 100).unwrap(), Counted { descriptors: 0, has_ended: false });
    fixture.write(100, "task/101/fd/0", b"");
    assert_eq!(count(&fixture, 100).unwrap(), Counted { descriptors: 1, has_ended: false });
}

#[test]
fn a_thread_that_stands_in_may_end_too() {
    let fixture = Fixture::new();
    let root = fixture.root();
    fixture.put(&FakeProcess { state: b'Z', threads: 3, ..Default::default() });
    fixture.write(100, "task/101/fd/0", b"");
    let process = Process::open(&root, 100).unwrap();
    let mut tables = Tables::default();
    assert_eq!(tables.count(&root, &process).unwrap().descriptors, 1);
    std::fs::remove_dir_all(fixture.of(100).join("task/101")).unwrap();
    for fd in 0..2 {
        fixture.write(100, &format!("task/102/fd/{fd}"), b"");
    }
    assert_eq!(tables.count(&root, &process).unwrap().descriptors, 2);
}

#[test]
fn a_thread_with_another_number_has_its_own_table() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { threads: 3, targets: &[b"pipe:[1]"], ..Default::default() });
    for (thread, fds) in [(100, 1), (101, 1), (102, 4), (103, 4), (104, 0)] {
        fixture.write(100, &format!("task/{thread}/fd/.none"), b"");
        for fd in 0..fds {
            fixture.write(100, &format!("task/{thread}/fd/{fd}"), b"");
        }
    }
    // One more with as many as another is taken for the same.
    assert_eq!(count(&fixture, 100).unwrap().descriptors, 1 + 4);
}

#[test]
fn targets_may_be_any_bytes() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let names: [&[u8]; 4] = [b"two\nlines", b"\xff\xfe", b"socket:[1]", b"x (deleted)"];
    let paths =
        names.map(|name| [folder.path().as_os_str().as_encoded_bytes(), b"/", name].concat());
    for path in &paths {
        std::fs::write(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path), b"")
            .unwrap();
    }
    fixture.put(&FakeProcess::default());
    fixture.link(100, 0, &paths.each_ref().map(Vec::as_slice));
    let found = descriptors(&fixture, 100);
    assert_eq!(found.len(), paths.len());
    for (descriptor, path) in found.iter().zip(&paths) {
        assert_eq!((descriptor.kind, &descriptor.target), (Kind::File, path));
    }
}

#[test]
fn without_tables_sockets_are_only_sockets() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { targets: &[b"socket:[7]"], ..Default::default() });
    let expected =
        Descriptor { fd: 0, kind: Kind::Socket, target: b"socket:[7]".to_vec(), socket: None };
    assert_eq!(descriptors(&fixture, 100), [expected]);
}

#[test]
fn sockets_are_found_in_the_tables_of_the_process() {
    let fixture = Fixture::new();
    let targets: [&[u8]; 4] = [b"socket:[7]", b"socket:[8]", b"socket:[7]", b"socket:[0]"];
    fixture.put(&FakeProcess { targets: &targets, ..Default::default() });
    let unix = "Num RefCount Protocol Flags Type St Inode Path\n\
                0: 00000002 00000000 00010000 0001 01 7 /run/x\n\
                0: 00000002 00000000 00000000 0001 01 0 /run/zero\n\
                0: 00000002 00000000 00000000 0001 03 9 /run/y\nnonsense\n";
    fixture.write(100, "net/unix", unix.as_bytes());
    let states: Vec<_> = descriptors(&fixture, 100)
        .iter()
        .map(|open| open.socket.as_ref().map(|socket| (socket.state, socket.local.clone())))
        .collect();
    let listens = Some(("listen", "/run/x".to_owned()));
    assert_eq!(states, [listens.clone(), None, listens, None]);
}

#[test]
fn what_another_machine_answers_for_is_not_followed() {
    let fixture = Fixture::new();
    // Nothing is there: following the link would be an error.
    let targets: [&[u8]; 3] = [b"/mnt/nowhere/file", b"/mnt/nowhere/folder", b"/mntx/nowhere"];
    fixture.put(&FakeProcess { targets: &targets, ..Default::default() });
    let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /mnt/nowhere rw - nfs4 server:/ rw\n";
    fixture.write(100, "mountinfo", mounts.as_bytes());
    fixture.write(
        100,
        "fdinfo/1",
        format!("pos:\t0\nflags:\t{:o}\n", libc::O_DIRECTORY).as_bytes(),
    );
    assert_eq!(kinds(&fixture, 100), [Kind::File, Kind::Directory]);
}

#[test]
fn a_scan_goes_on_where_it_stopped() {
    let fixture = Fixture::new();
    let root = fixture.root();
    fixture.put(&FakeProcess { threads: 3, ..Default::default() });
    for fd in 0..10 {
        fixture.link(100, fd, &[b"pipe:[1]"]);
    }
    // Another table, which comes after the first.
    for (thread, fds) in [(100, 10), (101, 10), (102, 3)] {
        for fd in 0..fds {
            fixture.write(100, &format!("task/{thread}/fd/{fd}"), b"");
        }
    }
    let process = Process::open(&root, 100).unwrap();
    let mut tables = Tables::default();
    assert_eq!(tables.count(&root, &process).unwrap().descriptors, 13);
    for fds_max in [1, 3, 9, 10, 11, 12, 13, 14] {
        let (mut seen, mut position, mut calls) = (Vec::new(), Some(Position::default()), 0);
        while let Some(from) = position {
            let before = seen.len();
            position = scan(&process, &tables, from, fds_max, |found| {
                seen.push((!found.is_first_table, found.fd));
            })
            .unwrap();
            assert!(seen.len() - before <= fds_max);
            calls += 1;
            assert!(calls <= 20, "it does not end");
        }
        seen.sort_unstable();
        let first = (0..10).map(|fd| (false, fd));
        let expected: Vec<_> = first.chain((0..3).map(|fd| (true, fd))).collect();
        // Those of the second table are plain files here: their kind is not what this is about.
        assert_eq!(seen, expected, "{fds_max} at a time");
    }
}

#[test]
fn names_are_found_in_three_places() {
    let fixture = Fixture::new();
    let named = |comm: &'static [u8], pid| FakeProcess { pid, comm, ..Default::default() };
    fixture.put(&named(b"worker", 10));
    fixture.put(&named(b"a-very-long-nam", 11));
    std::os::unix::fs::symlink("/opt/a-very-long-name (deleted)", fixture.of(11).join("exe"))
        .unwrap();
    fixture.put(&named(b"python3", 12));
    fixture.write(12, "cmdline", b"/usr/local/bin/a-very-long-name\0--flag\0");
    fixture.put(&named(b"x", 13));
    fixture.write(13, "cmdline", b"worker: idle process of many");
    fixture.put(&named(b"y", 14));
    fixture.write(14, "cmdline", b"sh\0worker\0");
    fixture.put(&FakeProcess { flags: 0x0020_0000, ..named(b"worker", 15) });
    fixture.put(&named(b"worker", 16));
    std::os::unix::fs::symlink("16", fixture.path().join("self")).unwrap();

    let root = fixture.root();
    let find = |name: &str| {
        let mut names = Names::new(&[Target::new(name.as_ref()), Target::Pid(1)], &fixture.root());
        // The second time from memory.
        let found = [(); 2].map(|()| {
            let pass = pass(&root, &mut names).unwrap();
            let named = pass.processes.iter().filter(|process| process.is_named);
            named.map(|process| process.key.pid).collect::<Vec<_>>()
        });
        assert_eq!(found[0], found[1]);
        found[0].clone()
    };
    assert_eq!(find("worker"), [10, 13]);
    assert_eq!(find("a-very-long-name"), [11, 12]);
    assert_eq!(find("a-very-long-nam"), [11]);
    assert_eq!(find("no-such-name"), [0; 0]);
}

#[test]
fn a_family_is_everyone_below() {
    let fixture = Fixture::new();
    for (pid, parent) in
        [(1, 0), (10, 1), (11, 10), (12, 11), (13, 1), (14, 10), (15, 14), (16, 16)]
    {
        fixture.put(&FakeProcess { pid, parent, ..Default::default() });
    }
    std::os::unix::fs::symlink("14", fixture.path().join("self")).unwrap();
    let root = fixture.root();
    let pass = pass(&root, &mut Names::default()).unwrap();
    let family = |of: u32| {
        let members = pass.family(|process| process.key.pid == of, &root);
        members.iter().map(|member| (member.process.key.pid, member.is_child)).collect::<Vec<_>>()
    };
    assert_eq!(family(10), [(10, false), (11, true), (12, true)]);
    assert_eq!(family(16), [(16, true)]);
    assert_eq!(family(99), []);
}
