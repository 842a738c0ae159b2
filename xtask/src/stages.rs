//! The stages of `cargo xtask verify`, in the order they run.
//!
//! To add a stage: write a function `fn(&Context) -> Result<Outcome>` and add a line to [`STAGES`].

use crate::stage::{Context, Stage};
use crate::{cargo_stages, deny, faults, fuzz, models, python, seeded, test_stage, tidy};

/// All stages, cheap ones first.
pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "fmt", about: "formatting", listed: always, run: cargo_stages::fmt },
    Stage { name: "clippy", about: "lints", listed: always, run: cargo_stages::clippy },
    Stage { name: "tidy", about: "rules of this repository", listed: always, run: tidy::stage },
    Stage { name: "test", about: "tests of the workspace", listed: always, run: test_stage::stage },
    Stage {
        name: "python",
        about: "the Python package, as a wheel",
        listed: always,
        run: python::stage,
    },
    Stage { name: "doc", about: "documentation", listed: always, run: cargo_stages::doc },
    Stage {
        name: "deny",
        about: "licences, bans, sources, advisories",
        listed: always,
        run: deny::stage,
    },
    Stage { name: "loom", about: "models, exhaustive", listed: always, run: models::loom },
    Stage {
        name: "shuttle",
        about: "models, random schedules",
        listed: always,
        run: models::shuttle,
    },
    Stage {
        name: "seeded",
        about: "seeded bugs must be found",
        listed: always,
        run: seeded::stage,
    },
    Stage {
        name: "fuzz",
        about: "corpus replay and smoke",
        listed: fuzz::has_targets,
        run: fuzz::stage,
    },
    Stage {
        name: "faults",
        about: "the shipped binary under real faults",
        listed: always,
        run: faults::stage,
    },
];

fn always(_: &Context) -> bool {
    true
}
