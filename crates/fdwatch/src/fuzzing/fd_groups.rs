//! What descriptors have in common.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};

use crate::groups::{GROUPS_MAX, Groups, Moment};
use crate::ledger::Permits;
use crate::pattern::coarse_pattern;
use crate::{Kind, Socket, pattern};

/// Series of all processes together: few, so that they run out.
const PERMITS: usize = 5;
/// More make it slow, not better.
const SCANS_MAX: usize = 5;
const DESCRIPTORS_MAX: usize = 80;

#[derive(Debug, Arbitrary)]
struct Scan {
    /// Until the next one.
    seconds: u8,
    descriptors: Vec<Open>,
    is_given_up: bool,
}

#[derive(Debug, Arbitrary)]
struct Open {
    what: u8,
    /// So many of it that differ in a number.
    copies: u8,
    name: Vec<u8>,
    folder: u16,
}

/// For any set of open descriptors: patterns have a bound and get coarser once. There are not too
/// many groups. Each descriptor is in one of them, and of one kind. Permits of series are given
/// back.
///
/// # Panics
/// When that does not hold.
pub fn fd_groups(data: &[u8]) {
    let Ok(scans) = Vec::<Scan>::arbitrary(&mut Unstructured::new(data)) else { return };
    let mut groups = Groups::default();
    let mut permits = Permits { series: PERMITS, ..Permits::default() };
    let warm_up = Duration::from_secs(30);
    let (mut at, mut counted) = (Duration::ZERO, 0);
    for scan in scans.iter().take(SCANS_MAX) {
        at += Duration::from_secs(scan.seconds.into());
        let moment = Moment { at, warm_up };
        let mut added = 0;
        for open in &scan.descriptors {
            for copy in 0..=u32::from(open.copies).min(DESCRIPTORS_MAX as u32) {
                if added == DESCRIPTORS_MAX {
                    break;
                }
                added += 1;
                open.add(copy, &mut groups);
            }
        }
        if scan.is_given_up {
            groups.discard_scan();
        } else {
            groups.finish_scan(moment, &mut permits);
            counted = added;
        }
        groups.push(moment);
        check(&groups, counted, moment, &permits);
    }
    groups.end(&mut permits);
    assert_eq!(permits.series, PERMITS, "a series is not given back");
}

fn check(groups: &Groups, counted: usize, moment: Moment, permits: &Permits) {
    let reports = groups.group_reports(moment, false, usize::MAX);
    assert!(reports.len() <= GROUPS_MAX, "{} groups", reports.len());
    let in_groups: usize = reports.iter().map(|group| group.count as usize).sum();
    assert_eq!(in_groups, counted, "each is in one group");
    let in_kinds: usize = groups.kind_reports(true).iter().map(|kind| kind.count as usize).sum();
    assert_eq!(in_kinds, counted, "each is of one kind");
    assert!(permits.series <= PERMITS, "given back twice");
    for group in reports {
        assert!(group.count > 0 && group.growth <= i64::from(group.count), "{group:?}");
    }
}

impl Open {
    fn add(&self, copy: u32, groups: &mut Groups) {
        let kind = Kind::ALL[usize::from(self.what) % Kind::ALL.len()];
        let target =
            [format!("/{}/", self.folder).as_bytes(), &*self.name, copy.to_string().as_bytes()]
                .concat();
        let local = String::from_utf8_lossy(&target).into_owned();
        let peer = String::new();
        let socket = Socket { family: "unix", state: "listen", local, peer, is_to_listener: false };
        let socket = (kind == Kind::Socket && self.folder.is_multiple_of(2)).then_some(socket);
        for target in [&target, &self.name].into_iter().filter(|_| copy == 0) {
            let fine = pattern(kind, target, socket.as_ref());
            let coarser = coarse_pattern(&fine);
            assert!(fine.len() <= 256 && coarser.len() <= fine.len(), "{}", fine.escape_ascii());
            assert_eq!(coarse_pattern(&coarser), coarser, "{}", fine.escape_ascii());
        }
        groups.add(kind, &target, socket.as_ref());
    }
}
