//! Scripts for proptest: weighted so that most sequences put, look and fail, and long objects stay
//! rare.

use std::ops::Range;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::memory::Io;

use super::setup::CutBy;
use super::{
    Anchor, Body, Delta, ErrorKind, Flavour, How, Kind, Manner, Mishap, Name, Op, Place, Script,
    Setup, Size, When,
};

/// Scripts of 1 to `ops_max` operations.
pub fn script(ops_max: usize) -> impl Strategy<Value = Script> {
    // Operations one by one seldom meet in a whole upload, so some come together.
    let ops =
        vec(prop_oneof![12 => op().prop_map(|op| vec![op]), 1 => upload_in_parts()], 1..=ops_max);
    (setup(), ops).prop_map(|(setup, ops)| Script { setup, ops: ops.concat() })
}

fn setup() -> impl Strategy<Value = Setup> {
    let cut = prop_oneof![
        Just(CutBy::Fixed100),
        Just(CutBy::Content),
        Just(CutBy::Fixed16),
        Just(CutBy::Fixed4096)
    ];
    (cut, any::<bool>(), any::<bool>()).prop_map(|(cut, two_workers, tiny_queue)| Setup {
        cut,
        two_workers,
        tiny_queue,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (place(), body(), when(), manner(), kind())
            .prop_map(|(place, body, when, manner, kind)| Op::Put { place, body, when, manner, kind }),
        4 => (vec((place(), body()), 1..5), manner(), 0..8_u8)
            .prop_map(|(puts, manner, failing)| Op::PutMany { puts, manner, failing }),
        3 => place().prop_map(Op::Get),
        3 => (place(), size(), size()).prop_map(|(place, from, len)| Op::Range { place, from, len }),
        1 => place().prop_map(Op::Stat),
        2 => (place(), when()).prop_map(|(place, when)| Op::Delete { place, when }),
        2 => (any::<bool>(), name(), 0..5_u8, option::of(name()), 0..8_u8).prop_map(
            |(second_bucket, prefix, prefix_bytes, after, limit)| Op::List {
                second_bucket,
                prefix,
                prefix_bytes,
                after,
                limit
            }
        ),
        3 => (place(), place(), when()).prop_map(|(from, to, when)| Op::Copy { from, to, when }),
        2 => upload(0..2),
        3 => part(0..2),
        1 => Just(Op::RemoveBucket),
        4 => Just(Op::Collect),
        1 => Just(Op::Expire),
        2 => Just(Op::Reopen),
        2 => any::<u16>().prop_map(Op::Crash),
        6 => mishap().prop_map(Op::Mishap),
        1 => Just(Op::Calm),
    ]
}

fn upload(slots: Range<u8>) -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (slots.clone(), place()).prop_map(|(slot, place)| Op::Begin { slot, place }),
        4 => complete(slots.clone()),
        1 => slots.prop_map(Op::Abort),
    ]
}

fn complete(slots: Range<u8>) -> impl Strategy<Value = Op> {
    let which = prop_oneof![3 => Just(0x1E_u8), 1 => any::<u8>()];
    let when = prop_oneof![3 => Just(When::Always), 1 => when()];
    (slots, which, when).prop_map(|(slot, which, when)| Op::Complete { slot, which, when })
}

fn part(slots: Range<u8>) -> impl Strategy<Value = Op> {
    prop_oneof![
        (slots.clone(), 0..4_u8, place(), size(), size()).prop_map(
            |(slot, number, from, start, len)| Op::CopyPart { slot, number, from, start, len }
        ),
        (slots, 0..4_u8, body(), any::<u8>(), proptest::bool::weighted(0.2)).prop_map(
            |(slot, number, body, step, cancelled)| Op::Part {
                slot,
                number,
                body,
                step,
                cancelled
            }
        ),
    ]
}

/// A source, and an object of parts of it and of others, perhaps with a mishap on the way.
fn upload_in_parts() -> impl Strategy<Value = Vec<Op>> {
    let source = (place(), body()).prop_map(|(place, body)| Op::Put {
        place,
        body,
        when: When::Always,
        manner: Manner::Whole,
        kind: Kind::Whole,
    });
    let begin = (2..3_u8, place()).prop_map(|(slot, place)| Op::Begin { slot, place });
    let trouble = prop_oneof![
        Just(Op::Calm),
        mishap().prop_map(Op::Mishap),
        any::<u16>().prop_map(Op::Crash),
        Just(Op::Reopen)
    ];
    (source, begin, vec(part(2..3), 1..5), trouble, complete(2..3), place()).prop_map(
        |(source, begin, parts, trouble, complete, place)| {
            [vec![source, begin], parts, vec![trouble, complete, Op::Get(place)]].concat()
        },
    )
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![Just(Name::A), Just(Name::AB), Just(Name::A0), Just(Name::AUmlaut), Just(Name::Z)]
}

fn place() -> impl Strategy<Value = Place> {
    (proptest::bool::weighted(0.2), name())
        .prop_map(|(second_bucket, key)| Place { second_bucket, key })
}

fn size() -> impl Strategy<Value = Size> {
    let anchor = prop_oneof![
        2 => Just(Anchor::Zero),
        3 => Just(Anchor::ChunkMin),
        4 => Just(Anchor::ChunkMax),
        4 => Just(Anchor::Chunks),
        4 => Just(Anchor::Buffer),
        4 => Just(Anchor::Buffers),
        4 => Just(Anchor::Segment),
        1 => prop_oneof![5 => Just(Anchor::Chunks), 1 => Just(Anchor::Step), 1 => Just(Anchor::Inline)],
    ];
    let delta = prop_oneof![Just(Delta::At), Just(Delta::Below), Just(Delta::Above)];
    (anchor, delta).prop_map(|(anchor, delta)| Size { anchor, delta })
}

fn body() -> impl Strategy<Value = Body> {
    let flavour = prop_oneof![
        Just(Flavour::Noise),
        Just(Flavour::Zeros),
        Just(Flavour::OtherNoise),
        Just(Flavour::Shifted)
    ];
    (flavour, size()).prop_map(|(flavour, size)| Body { flavour, size })
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        5 => Just(When::Always),
        2 => Just(When::Absent),
        1 => Just(When::Same),
        1 => Just(When::OtherManifest),
        1 => Just(When::OtherTime),
    ]
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![4 => Just(Manner::Whole), 1 => Just(Manner::Bytes), 3 => any::<u8>().prop_map(Manner::Uneven)]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Whole),
        1 => any::<u8>().prop_map(Kind::SourceFails),
        1 => any::<u8>().prop_map(Kind::Expires),
    ]
}

fn mishap() -> impl Strategy<Value = Mishap> {
    let io = prop_oneof![
        Just(None),
        prop_oneof![
            Just(Io::Read),
            Just(Io::Open),
            Just(Io::Rewind),
            Just(Io::Append),
            Just(Io::Sync),
            Just(Io::Query),
            Just(Io::Transaction),
            Just(Io::Commit),
            Just(Io::Find),
        ]
        .prop_map(Some),
    ];
    (io, prop_oneof![3 => 0..3_u8, 1 => any::<u8>()], how()).prop_map(|(io, after, how)| Mishap {
        io,
        after,
        how,
    })
}

fn how() -> impl Strategy<Value = How> {
    let error = || {
        prop_oneof![
            Just(ErrorKind::Other),
            Just(ErrorKind::Full),
            Just(ErrorKind::Denied),
            Just(ErrorKind::Eof),
            Just(ErrorKind::Missing),
            Just(ErrorKind::Interrupted),
        ]
    };
    prop_oneof![
        error().prop_map(How::Fails),
        error().prop_map(How::FailsLate),
        Just(How::Garbles),
        Just(How::PowerCut),
        Just(How::PowerCutLate),
    ]
}
