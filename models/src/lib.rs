//! Interleaving checks of drystone's production code. Here is what all scenarios share, and in
//! `tests/pools` are those of the primitives, one file per subject. The protocol of the store
//! (`protocol`) and the asynchronous edge of the server (`edge`) are packages of their
//! own: a seeded bug then builds nothing but what must find it.
//!
//! A scenario is a plain function over `drystone_sync` types and is written once. The cfg decides
//! how it is run:
//!
//! | cfg | run | what it shows |
//! |---|---|---|
//! | none | real threads, repeated, under a watchdog | that it holds on this machine, too |
//! | `model_loom` | loom, exhaustive within a bound on preemptions | absence of bugs, for two or three threads |
//! | `model_shuttle` | shuttle, random schedules and PCT of depth 3 | samples, for shapes too large for loom |
//!
//! ```text
//! cargo test -p drystone-models -p drystone-protocol -p drystone-edge-models --release
//! RUSTFLAGS="--cfg model_loom"    CARGO_TARGET_DIR=/tmp/t-loom    cargo test -p drystone-models -p drystone-protocol -p drystone-edge-models --release -- --nocapture
//! RUSTFLAGS="--cfg model_shuttle" CARGO_TARGET_DIR=/tmp/t-shuttle cargo test -p drystone-models -p drystone-protocol -p drystone-edge-models --release -- --nocapture
//! ```
//!
//! Each run says `model: NAME CHECKER COUNT schedules`. `DRYSTONE_VERIFY=full` explores ten times
//! as many.
//!
//! # When a scenario fails
//! Loom explores the same schedules in the same order every time: run it again with `LOOM_LOG=trace
//! LOOM_LOCATION=1`. Shuttle prints the failing schedule, several lines between quotation marks;
//! where it prints two, the last one is whole (the first ends at the panic, before its unwinding).
//! To run just that one, give all its lines to the same scenario:
//!
//! ```text
//! DRYSTONE_SCHEDULE="91010bdd…" RUSTFLAGS="--cfg model_shuttle" CARGO_TARGET_DIR=/tmp/t-shuttle \
//!     cargo test -p drystone-models -p drystone-protocol -p drystone-edge-models --release -- --exact --nocapture NAME
//! ```
//!
//! A schedule fits only the code that it was recorded on; on other code the replay says `schedule
//! ended early`.
//!
//! # Seeded bugs
//! `seeded/*.toml` are edits of the production code that a named scenario must find (`cargo xtask
//! verify --stage seeded`).
//!
//! Invariants of a scenario:
//! - it never waits for time, and all its threads have ended when it returns;
//! - what it observes is kept in std atomics and locks, which the checkers do not see and so do not
//!   explore;
//! - it asserts with words of its own, which a seeded bug can name;
//! - a panic that is part of the plot is made with [`explore::plotted_panic`], which prints
//!   nothing.

pub mod explore;
