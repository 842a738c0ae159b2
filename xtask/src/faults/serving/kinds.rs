//! The kinds of crowds: which clients come, how many, for how long, and what must hold meanwhile.

use std::time::Duration;

use anyhow::Result;

use super::cell::Limits;
use super::crowd::{Owed, Script};
use super::forms::{honest_forms, slow_forms};
use super::scripts::{
    ANSWERS, KB, Largest, MIB, anonymous, big_parts, big_uploads, completions, deletes, downloads,
    honest_uploads, listers, slow_readers, slow_uploads, stopped_documents,
};
use super::stock::{COMPLETIONS, DOCUMENTS, MULTIPARTS, Stock};
use crate::stage::Mode;

/// How long a good client may wait on a machine that also does other work. A longer wait is the
/// server's fault.
const NOISY_WAIT: Duration = Duration::from_secs(2);
/// How long a document may wait: it waits for the turns of the documents before it, each with a
/// thousand entries. The shortest crowd of documents that stop stays for longer than this. So a
/// turn that is held while its client does nothing is noticed.
const DOCUMENT_WAIT: Duration = Duration::from_secs(2);
const DOCUMENT_NOISY_WAIT: Duration = Duration::from_secs(5);
const HALF: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);
/// How long a crowd may take for the answers that are owed to it.
const PATIENCE_QUICK: Duration = Duration::from_secs(60);
const PATIENCE_FULL: Duration = Duration::from_secs(600);
/// Far above the plan: if the server takes more than planned, that is measured, and the kernel does
/// not kill it.
pub(super) const ROOMY: Limits =
    Limits { memory_bytes: 2 << 30, descriptors: 2_048, half_a_cpu: false };

/// What a crowd must not do to others.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    /// The longest wait of a good client that is promised.
    pub(super) wait: Duration,
    pub(super) is_peak_judged: bool,
}

impl Judged {
    const fn new(wait: Duration) -> Self {
        Self { wait, is_peak_judged: true }
    }

    /// The longest wait that is right in this mode.
    pub(super) fn wait_max(&self, mode: Mode) -> Duration {
        if mode == Mode::Full { self.wait } else { self.wait.max(NOISY_WAIT) }
    }

    /// The same for a client whose requests are documents.
    pub(super) fn asking_wait_max(&self, mode: Mode) -> Duration {
        if mode == Mode::Full { DOCUMENT_WAIT } else { DOCUMENT_NOISY_WAIT }
    }
}

/// In which runs a crowd comes when it was not asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// Only in quick runs: several kinds in one, because there is little time.
    Quick,
    Full,
}

type Scripts = Box<dyn Fn(usize, Mode, &Stock) -> Result<Vec<Script>>>;

pub(super) struct Crowd {
    pub(super) name: &'static str,
    /// In quick mode and in full mode.
    clients: (usize, usize),
    /// How long the clients stay that are owed no answer.
    seconds: (u64, u64),
    when: When,
    pub(super) limits: Limits,
    pub(super) judged: Judged,
    scripts: Scripts,
}

impl Crowd {
    /// A crowd of the usual kind: it comes in every run, and a good client waits at most half a
    /// second.
    fn new(
        name: &'static str,
        clients: (usize, usize),
        seconds: (u64, u64),
        scripts: impl Fn(usize, Mode, &Stock) -> Result<Vec<Script>> + 'static,
    ) -> Self {
        Self {
            name,
            clients,
            seconds,
            when: When::Always,
            limits: ROOMY,
            judged: Judged::new(HALF),
            scripts: Box::new(scripts),
        }
    }

    /// Makes this a crowd of several kinds in one.
    fn quick(self) -> Self {
        Self { when: When::Quick, ..self }
    }

    fn full(self) -> Self {
        Self { when: When::Full, ..self }
    }

    fn wait(self, wait: Duration) -> Self {
        Self { judged: Judged { wait, ..self.judged }, ..self }
    }

    pub(super) fn is_of(&self, mode: Mode) -> bool {
        match self.when {
            When::Always => true,
            When::Quick => mode != Mode::Full,
            When::Full => mode == Mode::Full,
        }
    }

    pub(super) fn scripts(&self, mode: Mode, stock: &Stock) -> Result<Vec<Script>> {
        let clients = if mode == Mode::Full { self.clients.1 } else { self.clients.0 };
        (self.scripts)(clients, mode, stock)
    }

    /// How long the crowd stays, and how long it waits for answers that are owed to it.
    pub(super) fn times(&self, mode: Mode) -> (Duration, Duration) {
        let seconds = Duration::from_secs;
        match mode {
            Mode::Full => (seconds(self.seconds.1), PATIENCE_FULL),
            _ => (seconds(self.seconds.0), PATIENCE_QUICK),
        }
    }
}

/// All crowds, in the order in which they run.
pub(super) fn all() -> Vec<Crowd> {
    const READERS: (usize, usize) = (400, 1_000);
    let mut all = vec![Crowd::new("slow-readers", READERS, (6, 20), |count, _, stock| {
        slow_readers(count, &ANSWERS, stock)
    })];
    // Each answer also has a crowd of its own: in a mixed crowd some clients wait for a turn and
    // hold the others back.
    all.extend(ANSWERS.map(|answer: Largest| {
        let scripts = move |count, _, stock: &Stock| slow_readers(count, &[answer], stock);
        Crowd::new(answer.crowd(), READERS, (6, 20), scripts).full()
    }));
    all.extend([
        Crowd::new("listers", (64, 64), (6, 20), |count, _, stock| listers(count, stock)),
        Crowd::new("slow-lines", (450, 450), (6, 20), slow_lines).quick(),
        Crowd::new("honest-lines", (150, 450), (6, 20), honest_lines).quick(),
        Crowd::new("slow-uploads", (500, 500), (6, 35), |count, _, _| slow_uploads(count, 0))
            .full(),
        Crowd::new("slow-after-9k", (500, 500), (6, 35), |count, _, _| slow_uploads(count, 9 * KB))
            .full(),
        Crowd::new("slow-forms", (200, 400), (6, 35), |count, _, _| slow_forms(count)).full(),
        Crowd::new("honest-uploads", (100, 500), (6, 6), |count, _, _| honest_uploads(count))
            .full(),
        Crowd::new("honest-forms", (100, 400), (6, 6), |count, _, _| honest_forms(count)).full(),
        Crowd::new("downloads", (60, 200), (8, 50), |count, _, stock| Ok(downloads(count, stock)))
            .full(),
        Crowd::new("anonymous", (500, 500), (6, 35), |count, _, stock| Ok(anonymous(count, stock)))
            .full(),
        Crowd::new("big-bodies", (16, 64), (1, 1), big_bodies).wait(SECOND).quick(),
        Crowd::new("big-uploads", (16, 64), (1, 1), |count, mode, _| {
            big_uploads(count, big_bytes(mode))
        })
        .wait(SECOND)
        .full(),
        Crowd::new("multipart", (16, MULTIPARTS), (1, 1), |count, mode, stock| {
            big_parts(count, big_bytes(mode), stock)
        })
        .wait(SECOND)
        .full(),
        Crowd::new("documents", (100, 100), (6, 20), documents).quick(),
        Crowd::new("deletes", (DOCUMENTS, DOCUMENTS), (1, 1), |count, _, _| deletes(count)).full(),
        Crowd::new("completions", (COMPLETIONS, COMPLETIONS), (1, 1), completions).full(),
        Crowd::new("stopped-documents", (100, 100), (6, 35), stopped_documents).full(),
        small("small-96", 96),
        small("small-128", 128).full(),
        small("small-256", 256).full(),
    ]);
    all
}

/// A crowd of every kind, with little memory, few descriptors and a part of a CPU.
fn small(name: &'static str, mib: u64) -> Crowd {
    // In such a cell the kernel judges the peak: it kills a server that takes more. `VmHWM` also
    // counts pages of the program that may be charged to another group.
    let judged = Judged { is_peak_judged: false, ..Judged::new(NOISY_WAIT) };
    let limits = Limits { memory_bytes: mib << 20, descriptors: 64, half_a_cpu: true };
    Crowd { limits, judged, ..Crowd::new(name, (160, 400), (8, 30), everything) }
}

fn big_bytes(mode: Mode) -> u64 {
    if mode == Mode::Full { 128 * MIB } else { 32 * MIB }
}

fn slow_lines(count: usize, _: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let part = count / 4;
    let mut scripts = slow_uploads(part, 0)?;
    scripts.extend(slow_uploads(part, 9 * KB)?);
    scripts.extend(slow_forms(part)?);
    scripts.extend(anonymous(part, stock));
    Ok(scripts)
}

fn honest_lines(count: usize, _: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let part = count / 3;
    let mut scripts = honest_uploads(part)?;
    scripts.extend(honest_forms(part)?);
    scripts.extend(downloads(part, stock));
    Ok(scripts)
}

fn big_bodies(count: usize, mode: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let mut scripts = big_uploads(count / 2, big_bytes(mode))?;
    scripts.extend(big_parts(count / 2, big_bytes(mode), stock)?);
    Ok(scripts)
}

fn documents(count: usize, mode: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let mut scripts = stopped_documents(count, mode, stock)?;
    scripts.extend(deletes(DOCUMENTS)?);
    scripts.extend(completions(COMPLETIONS, mode, stock)?);
    Ok(scripts)
}

/// Some clients of each kind. Nothing is owed to them, because they are far more than a small cell
/// can serve.
fn everything(count: usize, mode: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let part = count / 8;
    let mut scripts = slow_readers(2 * part, &ANSWERS, stock)?;
    scripts.extend(slow_uploads(part, 0)?);
    scripts.extend(slow_uploads(part, 9 * KB)?);
    scripts.extend(slow_forms(part)?);
    scripts.extend(downloads(part, stock));
    scripts.extend(anonymous(part, stock));
    scripts.extend(stopped_documents(part, mode, stock)?);
    scripts.extend(listers(ANSWERS.len(), stock)?);
    scripts.extend(deletes(1)?);
    scripts.extend(completions(1, mode, stock)?);
    scripts.extend(big_uploads(1, 32 * MIB)?);
    scripts.extend(big_parts(1, 32 * MIB, stock)?);
    scripts.iter_mut().for_each(|script| script.owed = Owed::NOTHING);
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn crowds_have_names_of_their_own_and_stay_longer_in_full_mode() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|crowd| crowd.name).collect();
        assert_eq!(names.len(), all.len());
        for crowd in &all {
            assert!(crowd.clients.0 > 0 && crowd.clients.0 <= crowd.clients.1, "{}", crowd.name);
            assert!(crowd.seconds.0 <= crowd.seconds.1, "{}", crowd.name);
        }
    }

    #[test]
    fn quick_crowds_stay_for_less_than_a_minute_together() {
        let quick = all().into_iter().filter(|crowd| crowd.is_of(Mode::Quick));
        assert!(quick.map(|crowd| crowd.seconds.0).sum::<u64>() < 60);
    }

    #[test]
    fn in_full_mode_the_wait_is_judged_by_its_figure() {
        let judged = Judged::new(HALF);
        assert_eq!((judged.wait_max(Mode::Full), judged.wait_max(Mode::Quick)), (HALF, NOISY_WAIT));
    }
}
