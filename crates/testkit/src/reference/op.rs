//! The alphabet.

use super::{Body, Manner, Mishap, Setup, Size};

/// A store and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub struct Script {
    /// The store.
    pub setup: Setup,
    /// The operations, one after the other.
    pub ops: Vec<Op>,
}

/// One of a few names in one of two buckets, so that operations meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, arbitrary::Arbitrary)]
pub struct Place {
    /// The second bucket.
    pub second_bucket: bool,
    /// Which key.
    pub key: Name,
}

/// The keys: prefixes of each other, neighbours in byte order, a multibyte one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, arbitrary::Arbitrary)]
pub enum Name {
    /// `a`
    A,
    /// `a/b`
    AB,
    /// `a0`
    A0,
    /// `a/ä`
    AUmlaut,
    /// `z`
    Z,
}

impl Name {
    /// The key.
    pub fn text(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::AB => "a/b",
            Self::A0 => "a0",
            Self::AUmlaut => "a/\u{e4}",
            Self::Z => "z",
        }
    }
}

/// A put's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum When {
    /// None.
    Always,
    /// The key is free.
    Absent,
    /// The key has the very object that it has.
    Same,
    /// The key has an object of the same time as the one that it has, as it was before its bytes
    /// were put again.
    OtherManifest,
    /// The key has an object of the same manifest as the one that it has, as it was before it was
    /// copied onto itself.
    OtherTime,
}

/// How a put comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum Kind {
    /// The source is read to its end.
    Whole,
    /// The source fails after so many 256ths of the body.
    SourceFails(u8),
    /// The session's lease runs out after so many 256ths of the body.
    Expires(u8),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum Op {
    /// Puts an object and waits for it.
    Put {
        /// Where.
        place: Place,
        /// What.
        body: Body,
        /// If.
        when: When,
        /// How the source is read.
        manner: Manner,
        /// How it ends.
        kind: Kind,
    },
    /// Puts objects one behind the other and then waits for each.
    PutMany {
        /// Where and what.
        puts: Vec<(Place, Body)>,
        /// How the sources are read.
        manner: Manner,
        /// Which of them fails half-way, if there are so many.
        failing: u8,
    },
    /// Reads an object.
    Get(Place),
    /// Reads a part of an object.
    Range {
        /// Which object.
        place: Place,
        /// From where.
        from: Size,
        /// How many bytes.
        len: Size,
    },
    /// Looks an object up.
    Stat(Place),
    /// Removes an object.
    Delete {
        /// Which object.
        place: Place,
        /// If.
        when: When,
    },
    /// Lists a bucket.
    List {
        /// Which bucket.
        second_bucket: bool,
        /// The first bytes of this name are the prefix.
        prefix: Name,
        /// So many of them.
        prefix_bytes: u8,
        /// After this name.
        after: Option<Name>,
        /// At most so many; 0 means all.
        limit: u8,
    },
    /// Copies an object.
    Copy {
        /// From where.
        from: Place,
        /// To where.
        to: Place,
        /// If.
        when: When,
    },
    /// Begins a multipart upload in one of a few slots; what was in there goes on unattended.
    Begin {
        /// Which slot.
        slot: u8,
        /// Where the object is to be.
        place: Place,
    },
    /// Puts a part, piece by piece.
    Part {
        /// Of which slot's upload.
        slot: u8,
        /// Which of a few numbers.
        number: u8,
        /// What.
        body: Body,
        /// How long the pieces are, in steps of seven bytes.
        step: u8,
        /// The client goes away half-way.
        cancelled: bool,
    },
    /// Makes a part of a part of an object.
    CopyPart {
        /// Of which slot's upload.
        slot: u8,
        /// Which of a few numbers.
        number: u8,
        /// Which object.
        from: Place,
        /// From where.
        start: Size,
        /// How many bytes.
        len: Size,
    },
    /// Makes the object of an upload's parts.
    Complete {
        /// Which slot's.
        slot: u8,
        /// Of which parts: bits 1 to 4; bit 0 asks for those that are missing, too.
        which: u8,
        /// If.
        when: When,
    },
    /// Drops an upload.
    Abort(u8),
    /// Removes the second bucket, if it is empty, and makes it again.
    RemoveBucket,
    /// Gives space back, as far as it can be done without waiting.
    Collect,
    /// The leases of all sessions run out.
    Expire,
    /// Closes the store and opens it again.
    Reopen,
    /// The power is cut while nothing is under way.
    Crash(u16),
    /// An I/O to come goes wrong.
    Mishap(Mishap),
    /// Whatever of [`Mishap`] has not come yet will not come.
    Calm,
}
