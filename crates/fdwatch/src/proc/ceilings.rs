//! Bounds of the kernel beside RLIMIT_NOFILE that a process may come to first.
//!
//! Those of inotify and epoll are of a user, over all of his processes. What the others have is not
//! known here, so what is used is at least what is told.

use std::ops::ControlFlow;

use super::parse::{number, words};
use super::{ProcRoot, Process, each_line};
use crate::Kind;
use crate::proc::files::read_file;

/// Descriptors of inotify and epoll that are asked for their watches.
pub(crate) const WATCHING_MAX: usize = 64;
/// Of what they say, all together.
const BYTES_MAX: u64 = 4 << 20;
/// Below that share of a bound it is not worth a word.
const TOLD_FROM_PERCENT: u128 = 10;

/// A bound, and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Of what.
    pub bound: Bound,
    /// By this process alone, at least; for [`Bound::SystemFiles`] by all.
    pub used: u64,
    /// The most there may be.
    pub limit: u64,
}

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// `fs.inotify.max_user_instances`: descriptors of inotify of a user.
    InotifyInstances,
    /// `fs.inotify.max_user_watches`: watches of a user.
    InotifyWatches,
    /// `fs.epoll.max_user_watches`: descriptors that a user has registered with epoll.
    EpollWatches,
    /// `fs.file-max`: open files of the whole system.
    SystemFiles,
}

impl Bound {
    /// One word, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::InotifyInstances => "inotify-instances",
            Self::InotifyWatches => "inotify-watches",
            Self::EpollWatches => "epoll-watches",
            Self::SystemFiles => "system-files",
        }
    }
}

impl Ceiling {
    /// Whether it is nearer than another share.
    fn is_nearer(&self, used: u64, limit: u64) -> bool {
        u128::from(self.used) * u128::from(limit) > u128::from(used) * u128::from(self.limit)
    }
}

/// The nearest bound, if it is nearer than RLIMIT_NOFILE. `watching`: descriptors of inotify and
/// epoll.
pub(crate) fn nearest_ceiling(
    root: &ProcRoot,
    process: &Process,
    watching: &[(Kind, i32)],
    count: u64,
    limit: Option<u64>,
) -> Option<Ceiling> {
    let mut found = Vec::new();
    let mut add = |bound, used: u64, limit: Option<u64>| {
        if let Some(limit) = limit.filter(|limit| *limit > 0 && used > 0) {
            found.push(Ceiling { bound, used, limit });
        }
    };
    let of_kind = |kind| watching.iter().filter(move |(of, _)| *of == kind).map(|(_, fd)| *fd);
    let mut bytes_left = BYTES_MAX;
    if of_kind(Kind::Inotify).next().is_some() {
        let instances = of_kind(Kind::Inotify).count() as u64;
        add(
            Bound::InotifyInstances,
            instances,
            number_in(root, "sys/fs/inotify/max_user_instances"),
        );
        let watches = of_kind(Kind::Inotify)
            .map(|fd| watches(process, fd, b"inotify ", &mut bytes_left))
            .sum();
        add(Bound::InotifyWatches, watches, number_in(root, "sys/fs/inotify/max_user_watches"));
    }
    if of_kind(Kind::Epoll).next().is_some() {
        let watches =
            of_kind(Kind::Epoll).map(|fd| watches(process, fd, b"tfd:", &mut bytes_left)).sum();
        add(Bound::EpollWatches, watches, number_in(root, "sys/fs/epoll/max_user_watches"));
    }
    if let Some((used, limit)) = system_files(root) {
        add(Bound::SystemFiles, used, Some(limit));
    }
    let nearest =
        found.into_iter().reduce(|a, b| if b.is_nearer(a.used, a.limit) { b } else { a })?;
    let is_worth_it =
        u128::from(nearest.used) * 100 >= u128::from(nearest.limit) * TOLD_FROM_PERCENT;
    let is_nearest = limit.is_none_or(|limit| nearest.is_nearer(count, limit));
    (is_worth_it && is_nearest).then_some(nearest)
}

/// Lines that begin so in what the kernel tells of a descriptor.
fn watches(process: &Process, fd: i32, start: &[u8], bytes_left: &mut u64) -> u64 {
    let mut watches = 0;
    let read = each_line(process, format!("fdinfo/{fd}"), *bytes_left, |line| {
        watches += u64::from(line.starts_with(start));
        ControlFlow::Continue(())
    });
    *bytes_left = bytes_left.saturating_sub(read.map_or(0, |read| read.bytes));
    watches
}

fn number_in(root: &ProcRoot, path: &str) -> Option<u64> {
    let mut buffer = [0; 64];
    number(read_file(root, path, &mut buffer).ok()?.trim_ascii())
}

/// Open ones and the most there may be.
fn system_files(root: &ProcRoot) -> Option<(u64, u64)> {
    let mut buffer = [0; 128];
    let file = read_file(root, "sys/fs/file-nr", &mut buffer).ok()?;
    let mut words = words(file.trim_ascii());
    Some((number(words.next()?)?, number(words.nth(1)?)?))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{FakeProcess, Fixture};
    use super::*;

    fn fixture(files: &str) -> Fixture {
        let fixture = Fixture::new();
        fixture.put(&FakeProcess::default());
        for (name, text) in [
            ("inotify/max_user_instances", "128\n"),
            ("inotify/max_user_watches", "1000\n"),
            ("epoll/max_user_watches", "2000\n"),
            ("file-nr", files),
        ] {
            let path = fixture.path().join("sys/fs").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        fixture
    }

    #[track_caller]
    fn check(
        fixture: &Fixture,
        watching: &[(Kind, i32)],
        count: u64,
        expected: Option<(Bound, u64, u64)>,
    ) {
        let root = fixture.root();
        let process = Process::open(&root, 100).unwrap();
        let found = nearest_ceiling(&root, &process, watching, count, Some(1000));
        assert_eq!(found.map(|found| (found.bound, found.used, found.limit)), expected);
    }

    #[test]
    fn the_nearest_bound_is_named_where_it_is_nearer_than_the_limit() {
        let fixture = fixture("400 0 1000000\n");
        let instances: Vec<_> = (0..64).map(|fd| (Kind::Inotify, fd)).collect();
        check(&fixture, &instances, 499, Some((Bound::InotifyInstances, 64, 128)));
        check(&fixture, &instances, 501, None);
        check(&fixture, &[], 1, None);
    }

    #[test]
    fn watches_are_counted_by_their_lines() {
        let fixture = fixture("400 0 1000000\n");
        let inotify = format!("pos:\t0\nflags:\t00\n{}", "inotify wd:1 ino:2 sdev:3\n".repeat(300));
        fixture.write(100, "fdinfo/5", inotify.as_bytes());
        check(&fixture, &[(Kind::Inotify, 5)], 7, Some((Bound::InotifyWatches, 300, 1000)));
        let epoll = format!("pos:\t0\n{}", "tfd:        7 events:       19 data: 7\n".repeat(900));
        fixture.write(100, "fdinfo/6", epoll.as_bytes());
        let both = [(Kind::Inotify, 5), (Kind::Epoll, 6)];
        check(&fixture, &both, 7, Some((Bound::EpollWatches, 900, 2000)));
        // 9 of 128 and 30 of 1,000 are not worth a word.
        fixture.write(100, "fdinfo/5", b"inotify wd:1\n");
        check(&fixture, &[(Kind::Inotify, 5)], 7, None);
    }

    #[test]
    fn the_bound_of_the_system_counts_too() {
        check(&fixture("900 0 1000\n"), &[], 7, Some((Bound::SystemFiles, 900, 1000)));
        check(&fixture("900 0 9223372036854775807\n"), &[], 7, None);
        check(&fixture("nonsense"), &[], 7, None);
    }
}
