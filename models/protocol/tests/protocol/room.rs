//! Making room on a full disk: one thread at a time does so, while no thread appends, and every
//! thread that waits is woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_appender::Room;
use drystone_models::explore::{Scope, check, finish, plotted_panic, start};
use drystone_sync::{Condvar, Mutex, PlainArc};

/// Unseen by the checkers.
#[derive(Default)]
struct Seen {
    appending: AtomicUsize,
    making: AtomicUsize,
    made: AtomicUsize,
}

impl Seen {
    fn make(&self, idle: &Mutex<()>) {
        assert_eq!(self.making.fetch_add(1, Ordering::SeqCst), 0, "two made room at once");
        assert_eq!(self.appending.load(Ordering::SeqCst), 0, "room was made under an append");
        // It takes its time.
        drop(idle.lock());
        assert_eq!(self.appending.load(Ordering::SeqCst), 0, "an append began while room was made");
        self.making.fetch_sub(1, Ordering::SeqCst);
        self.made.fetch_add(1, Ordering::SeqCst);
    }

    /// An append that finds the disk full, and says so while it is under way and when it is over.
    fn append(&self, room: &Room, idle: &Mutex<()>) {
        let leave = room.enter(|| self.make(idle));
        self.appending.fetch_add(1, Ordering::SeqCst);
        room.note_full();
        self.appending.fetch_sub(1, Ordering::SeqCst);
        drop(leave);
        room.note_full();
    }
}

#[test]
fn room_is_made_while_nobody_appends() {
    check(Scope::SMALL, || {
        let (room, seen) = (PlainArc::new(Room::default()), PlainArc::new(Seen::default()));
        let idle = PlainArc::new(Mutex::new(()));
        let others = [(); 2].map(|()| {
            let (room, seen, idle) =
                (PlainArc::clone(&room), PlainArc::clone(&seen), PlainArc::clone(&idle));
            start(move || seen.append(&room, &idle))
        });
        seen.append(&room, &idle);
        others.into_iter().for_each(finish);
        // It was full at the end, however they took turns.
        let made = seen.made.load(Ordering::SeqCst);
        drop(room.enter(|| seen.make(&idle)));
        assert_eq!(
            seen.made.load(Ordering::SeqCst),
            made + 1,
            "that the disk is full was forgotten"
        );
        drop(room.enter(|| seen.make(&idle)));
        assert_eq!(
            seen.made.load(Ordering::SeqCst),
            made + 1,
            "room was made where there was room"
        );
    });
}

#[test]
fn a_panic_in_the_making_keeps_nobody_out() {
    check(Scope::SMALL, || {
        let (room, seen) = (PlainArc::new(Room::default()), PlainArc::new(Seen::default()));
        room.note_full();
        let other = {
            let (room, seen) = (PlainArc::clone(&room), PlainArc::clone(&seen));
            start(move || drop(room.enter(|| seen.make(&Mutex::new(())))))
        };
        let entered = catch_unwind(AssertUnwindSafe(|| {
            drop(room.enter(|| plotted_panic("the disk is gone")));
        }));
        finish(other);
        let has_made = seen.made.load(Ordering::SeqCst) == 1;
        assert!(entered.is_ok() == has_made, "room was made twice, or never");
    });
}

/// A thread that is alone sets room free. Appends do not take it away, and an append that fails
/// meanwhile is not forgotten.
#[test]
fn nothing_is_appended_while_one_is_alone() {
    check(Scope::SMALL, || {
        let (room, seen) = (PlainArc::new(Room::default()), PlainArc::new(Seen::default()));
        let idle = PlainArc::new(Mutex::new(()));
        let other = {
            let (room, seen, idle) =
                (PlainArc::clone(&room), PlainArc::clone(&seen), PlainArc::clone(&idle));
            start(move || seen.append(&room, &idle))
        };
        room.alone(|| seen.make(&idle));
        finish(other);
        let made = seen.made.load(Ordering::SeqCst);
        // The append said that the disk is full, after it had been made room for or before.
        drop(room.enter(|| seen.make(&idle)));
        assert_eq!(
            seen.made.load(Ordering::SeqCst),
            made + 1,
            "that the disk is full was forgotten"
        );
    });
}

/// A transaction may fail for want of room while room is made: it did not have that room.
#[test]
fn a_full_disk_noted_while_room_is_made_is_not_forgotten() {
    check(Scope::SMALL, || {
        let (room, seen) = (PlainArc::new(Room::default()), PlainArc::new(Seen::default()));
        room.note_full();
        drop(room.enter(|| {
            let other = (seen.made.load(Ordering::SeqCst) == 0).then(|| {
                let room = PlainArc::clone(&room);
                start(move || room.note_full())
            });
            seen.make(&Mutex::new(()));
            other.into_iter().for_each(finish);
        }));
        assert_eq!(seen.made.load(Ordering::SeqCst), 2, "that the disk is full was forgotten");
    });
}

/// Two that want to be alone, and an append: one after the other.
#[test]
fn two_that_are_alone_take_turns() {
    check(Scope::PAIR, || {
        let (room, seen) = (PlainArc::new(Room::default()), PlainArc::new(Seen::default()));
        let idle = PlainArc::new(Mutex::new(()));
        let parts = || (PlainArc::clone(&room), PlainArc::clone(&seen), PlainArc::clone(&idle));
        let (room_there, seen_there, idle_there) = parts();
        let alone = start(move || room_there.alone(|| seen_there.make(&idle_there)));
        let (room_there, seen_there, idle_there) = parts();
        let appends = start(move || seen_there.append(&room_there, &idle_there));
        room.alone(|| seen.make(&idle));
        finish(alone);
        finish(appends);
        assert!(seen.made.load(Ordering::SeqCst) >= 2, "one of two was not let in");
    });
}

/// One makes room and two wait for it. Each stays until all three have got in.
#[test]
fn all_that_waited_for_room_get_in() {
    fn append(room: &Room, inside: &(Mutex<usize>, Condvar)) {
        let leave = room.enter(|| ());
        let (count, another) = inside;
        let mut count = count.lock();
        *count += 1;
        another.notify_all();
        while *count < 3 {
            count = another.wait(count);
        }
        drop(leave);
    }
    check(Scope::PAIR, || {
        let room = PlainArc::new(Room::default());
        let inside = PlainArc::new((Mutex::new(0), Condvar::new()));
        room.note_full();
        let others = [(); 2].map(|()| {
            let (room, inside) = (PlainArc::clone(&room), PlainArc::clone(&inside));
            start(move || append(&room, &inside))
        });
        append(&room, &inside);
        others.into_iter().for_each(finish);
    });
}
