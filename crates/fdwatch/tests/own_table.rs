//! A thread that has left the table of descriptors of all others. The only test of its process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(unsafe_code, reason = "unshare has no safe wrapper")]

use std::fs::File;
use std::sync::mpsc::sync_channel;

use fdwatch::{count, own, snapshot};

#[test]
fn a_table_of_its_own_is_counted_too() {
    let pid = std::process::id();
    let before = count(pid).unwrap();
    assert_eq!(before.tables, 1);
    assert_eq!(own().unwrap(), before.descriptors - count_descriptors());
    assert_eq!(snapshot(pid).unwrap().descriptors.len() as u64, own().unwrap());

    let (parted, has_parted) = sync_channel(1);
    let (end, may_end) = sync_channel::<()>(1);
    let thread = std::thread::spawn(move || {
        // SAFETY: takes no pointer; only this thread has the new table, and it closes nothing of
        // the old one.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
        let held: Vec<File> = (0..5).map(|_| File::open("/dev/zero").unwrap()).collect();
        parted.send(own().unwrap()).unwrap();
        may_end.recv().unwrap();
        drop(held);
    });
    let own_of_thread = has_parted.recv().unwrap();
    let with = count(pid).unwrap();
    assert_eq!(with.tables, 2);
    assert_eq!(own_of_thread, own().unwrap() + 5);
    assert_eq!(with.descriptors, before.descriptors + own_of_thread);
    let found = snapshot(pid).unwrap().descriptors;
    assert_eq!(found.iter().filter(|open| open.target == b"/dev/zero").count(), 5);

    end.send(()).unwrap();
    thread.join().unwrap();
    let after = count(pid).unwrap();
    assert_eq!((after.tables, after.descriptors), (1, before.descriptors));
}

/// Its own, while it counts us: one of `/proc`, one of the process, and where the kernel does not
/// tell their number (before 6.2) one of the folder that is read for it.
fn count_descriptors() -> u64 {
    if std::fs::metadata("/proc/self/fd").unwrap().len() > 0 { 2 } else { 3 }
}
