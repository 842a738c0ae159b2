//! The smallest scripts that once broke a promise; each test opens with its story.

use drystone_testkit::memory::Io;
use drystone_testkit::reference::{
    Anchor, Body, CutBy, Delta, ErrorKind, Flavour, How, Kind, Machine, Manner, Mishap, Name, Op,
    Place, Script, Setup, Size, When, run,
};

const A: Place = Place { second_bucket: false, key: Name::A };
const AB: Place = Place { second_bucket: false, key: Name::AB };
const Z: Place = Place { second_bucket: false, key: Name::Z };

fn body(flavour: Flavour, anchor: Anchor, delta: Delta) -> Body {
    Body { flavour, size: Size { anchor, delta } }
}

fn put(place: Place, body: Body) -> Op {
    Op::Put { place, body, when: When::Always, manner: Manner::Whole, kind: Kind::Whole }
}

fn put_many(puts: &[(Place, Body)]) -> Op {
    Op::PutMany { puts: puts.to_vec(), manner: Manner::Whole, failing: u8::MAX }
}

fn fails(io: Io, after: u8) -> Op {
    Op::Mishap(Mishap { io: Some(io), after, how: How::Fails(ErrorKind::Other) })
}

#[track_caller]
fn check(cut: CutBy, tiny_queue: bool, ops: &[Op]) {
    for two_workers in [false, true] {
        let setup = Setup { cut, two_workers, tiny_queue };
        run(&Script { setup, ops: ops.to_vec() }, &mut Machine::new(&setup));
    }
}

/// A segment that was full before anything of it was committed was let go of; the next append
/// adopted it and cut it back to its committed length, and wrote over chunks whose commit was still
/// to come. With segments of 512 MiB: any upload of more.
#[test]
fn a_segment_that_fills_up_before_its_commit_keeps_its_bytes() {
    let long = body(Flavour::Noise, Anchor::Step, Delta::Above);
    check(CutBy::Fixed100, false, &[put(A, long), Op::Get(A), Op::Reopen, Op::Get(A)]);
}

/// A group whose sync failed left its segment noted; the next group's sync succeeded, as Linux does
/// it, and the records were told a length that the disk did not have. After a power cut that
/// segment could not be adopted, and every put failed.
#[test]
fn a_segment_whose_sync_failed_is_never_told_again() {
    let long = body(Flavour::OtherNoise, Anchor::Segment, Delta::At);
    let other = body(Flavour::Noise, Anchor::Segment, Delta::Below);
    let ops = [
        fails(Io::Sync, 0),
        put_many(&[(A, long), (Z, other)]),
        put(A, long),
        Op::Crash(7),
        put(A, other),
    ];
    check(CutBy::Fixed100, false, &ops);
}

/// The seal of a full segment failed, its writer was dropped, and the next append adopted the
/// segment: as in the first story.
#[test]
fn a_segment_that_cannot_be_sealed_stays_owned() {
    let long = body(Flavour::Noise, Anchor::Segment, Delta::At);
    let small = body(Flavour::OtherNoise, Anchor::ChunkMin, Delta::At);
    for after in 0..3 {
        let ops = [
            fails(Io::Commit, after),
            put_many(&[(AB, small), (A, long), (Z, small)]),
            put(Z, small),
        ];
        for cut in [CutBy::Fixed16, CutBy::Fixed100, CutBy::Content] {
            check(cut, false, &ops);
            check(cut, true, &ops);
        }
    }
}

/// A full segment of an earlier process was adopted, only to be sealed; its sync failed and it was
/// let go of. The next, smaller append adopted it again, into a segment that counts as lost, and
/// every put was refused until the store was opened anew.
#[test]
fn an_adopted_segment_whose_seal_fails_stays_owned() {
    let long = body(Flavour::Shifted, Anchor::Inline, Delta::At);
    let refused = Op::Put {
        place: A,
        body: long,
        when: When::OtherManifest,
        manner: Manner::Whole,
        kind: Kind::Whole,
    };
    let ops = [
        refused,
        Op::Reopen,
        fails(Io::Sync, 0),
        put(A, body(Flavour::Noise, Anchor::ChunkMax, Delta::At)),
        put(A, body(Flavour::Noise, Anchor::ChunkMin, Delta::At)),
    ];
    check(CutBy::Content, false, &ops);
}

/// A group's commit failed, and the lengths that it had taken with it were forgotten, when they
/// were still taken from the appends. A step of the next group named bytes that the failed one had
/// been the first to hear of: the next owner of the segment would have cut them off.
#[test]
fn the_lengths_of_a_failed_group_are_told_by_the_next() {
    let shared = body(Flavour::Noise, Anchor::ChunkMax, Delta::At);
    for after in 0..3 {
        let ops = [
            fails(Io::Commit, after),
            put_many(&[(A, shared), (AB, shared), (Z, shared)]),
            Op::Reopen,
            put(A, body(Flavour::OtherNoise, Anchor::ChunkMax, Delta::At)),
        ];
        for cut in [CutBy::Fixed16, CutBy::Fixed100, CutBy::Content] {
            check(cut, true, &ops);
        }
    }
}

/// A cut by content may lie a byte before where the scan of a shorter window had ended. Hashing
/// from the one to the other panicked, the cutter thread was gone with buffers in its queue, and
/// the put waited for one for ever.
#[test]
fn a_cut_before_the_end_of_an_earlier_scan_is_fine() {
    // Windows end where buffers do, so only the place of an object in its first buffer and its
    // length make a difference.
    let small = body(Flavour::Noise, Anchor::ChunkMin, Delta::Below);
    for flavour in [Flavour::Noise, Flavour::OtherNoise, Flavour::Shifted] {
        let long = body(flavour, Anchor::Step, Delta::Above);
        check(CutBy::Content, false, &[put_many(&[(AB, small), (A, long), (Z, long)]), Op::Get(A)]);
    }
}
