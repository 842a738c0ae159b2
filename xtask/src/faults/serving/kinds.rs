//! The kinds of crowds: who comes, how many, what they do, and what must hold while they are there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::cell::Limits;
use super::client::{bare_head, head_of};
use super::crowd::{Pace, Script};
use super::sigv4::presigned;
use super::stock::{DOCUMENTS, LONG_KEYS, MULTIPARTS, Stock, doomed_key, in_xml, unique};
use crate::stage::Mode;

/// What others keep a good client waiting on a machine with other work: more than this is the
/// server's doing.
const NOISY_WAIT: Duration = Duration::from_secs(2);
const HALF: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);
/// Far above the plan: what is taken beyond that is seen, and not killed.
pub(super) const ROOMY: Limits =
    Limits { memory_bytes: 2 << 30, descriptors: 2_048, half_a_cpu: false };
const SLOW: u64 = 1 << 10;
const KB: u64 = 1_000;
const MIB: u64 = 1 << 20;

/// What a crowd must not do to others, and what it must get itself.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    /// The longest wait of a good client that is promised.
    pub(super) wait: Duration,
    pub(super) is_wait_judged: bool,
    pub(super) is_peak_judged: bool,
    /// Each client of the crowd gets its answer.
    pub(super) all_complete: bool,
    /// No client of the crowd is refused, and none is broken off.
    pub(super) none_turned_away: bool,
    /// Each client that reads gets this part of what its pace allows.
    pub(super) share_min: Option<f64>,
}

impl Judged {
    const fn new(wait: Duration) -> Self {
        Self {
            wait,
            is_wait_judged: true,
            is_peak_judged: true,
            all_complete: false,
            none_turned_away: false,
            share_min: None,
        }
    }

    /// What the wait is judged by.
    pub(super) fn wait_max(&self, mode: Mode) -> Duration {
        if mode == Mode::Full { self.wait } else { self.wait.max(NOISY_WAIT) }
    }
}

pub(super) struct Crowd {
    pub(super) name: &'static str,
    /// In quick and in full mode.
    clients: (usize, usize),
    /// The longest that it stays.
    seconds: (u64, u64),
    /// Where there is time, or when it is asked for by name.
    pub(super) full_only: bool,
    pub(super) limits: Limits,
    pub(super) judged: Judged,
    scripts: fn(usize, Mode, &Stock) -> Result<Vec<Script>>,
}

impl Crowd {
    pub(super) fn scripts(&self, mode: Mode, stock: &Stock) -> Result<Vec<Script>> {
        (self.scripts)(
            if mode == Mode::Full { self.clients.1 } else { self.clients.0 },
            mode,
            stock,
        )
    }

    pub(super) fn time(&self, mode: Mode) -> Duration {
        Duration::from_secs(if mode == Mode::Full { self.seconds.1 } else { self.seconds.0 })
    }
}

/// All of them, in the order in which they run.
pub(super) fn all() -> Vec<Crowd> {
    let calm = Judged::new(HALF);
    let served = Judged { all_complete: true, none_turned_away: true, ..calm };
    // The kernel judges the peak there: what is beyond it is killed. `VmHWM` counts pages of the
    // program, too, which another group may pay for.
    let crammed = Judged { is_peak_judged: false, ..Judged::new(NOISY_WAIT) };
    let crowd = |name, clients, seconds, judged, scripts| Crowd {
        name,
        clients,
        seconds,
        full_only: false,
        limits: ROOMY,
        judged,
        scripts,
    };
    let readers = |name, scripts| Crowd {
        full_only: true,
        ..crowd(name, (400, 1_000), (6, 20), calm, scripts)
    };
    let small = |name, mib: u64| Crowd {
        full_only: true,
        limits: Limits { memory_bytes: mib << 20, descriptors: 64, half_a_cpu: true },
        ..crowd(name, (200, 400), (8, 30), crammed, everything)
    };
    vec![
        crowd("slow-readers", (400, 1_000), (6, 20), calm, |count, _, _| {
            slow_readers(count, &ANSWERS)
        }),
        // Alone, because others that wait for a turn hold these back in a mixed crowd.
        crowd("slow-html", (400, 1_000), (6, 20), calm, |count, _, _| {
            slow_readers(count, &[Largest::Html])
        }),
        readers("slow-json", |count, _, _| slow_readers(count, &[Largest::Json])),
        readers("slow-limits", |count, _, _| slow_readers(count, &[Largest::Limits])),
        readers("slow-s3", |count, _, _| slow_readers(count, &[Largest::S3])),
        readers("slow-zip", |count, _, _| slow_readers(count, &[Largest::Zip])),
        readers("slow-tar", |count, _, _| slow_readers(count, &[Largest::Tar])),
        crowd("listers", (64, 64), (6, 20), calm, |count, _, _| {
            let script = |index: usize| {
                Ok(Script { again: true, ..ANSWERS[index % ANSWERS.len()].script()? })
            };
            (0..count).map(script).collect()
        }),
        crowd(
            "slow-uploads",
            (500, 500),
            (6, 35),
            Judged { none_turned_away: true, ..calm },
            |count, _, _| slow_uploads(count, 0),
        ),
        crowd(
            "slow-after-9k",
            (500, 500),
            (6, 35),
            Judged { none_turned_away: true, ..calm },
            |count, _, _| slow_uploads(count, 9 * KB),
        ),
        crowd("honest-uploads", (100, 500), (60, 180), served, |count, _, _| {
            let script = |index| {
                let pace = Pace::of(80 * KB);
                Ok(Script {
                    send: pace,
                    ..upload(&format!("honest-{index}"), MIB, unique(MIB as usize)?)
                })
            };
            (0..count).map(script).collect()
        }),
        crowd(
            "downloads",
            (60, 200),
            (8, 50),
            Judged { share_min: Some(0.25), none_turned_away: true, ..calm },
            |count, _, stock| {
                let script = Script {
                    read: Pace::of(100 * KB),
                    expected: Some(Arc::clone(&stock.object)),
                    ..get(head_of("GET", "/_/files/storm/download", 0, ""))
                };
                Ok(vec![script; count])
            },
        ),
        crowd(
            "anonymous",
            (500, 500),
            (6, 35),
            Judged { none_turned_away: true, ..calm },
            |count, _, stock| {
                let script = Script {
                    read: Pace::of(SLOW),
                    expected: Some(Arc::clone(&stock.object)),
                    ..get(bare_head("GET", "/open/public", 0, ""))
                };
                Ok(vec![script; count])
            },
        ),
        crowd(
            "big-uploads",
            (16, 64),
            (90, 600),
            Judged { wait: SECOND, ..served },
            |count, mode, _| {
                let filler = unique(MIB as usize)?;
                let script = |index| {
                    Ok(upload(&format!("big-{index}"), big_bytes(mode), Arc::clone(&filler)))
                };
                (0..count).map(script).collect()
            },
        ),
        crowd(
            "multipart",
            (16, MULTIPARTS),
            (90, 600),
            Judged { wait: SECOND, ..served },
            |count, mode, stock| {
                let filler = unique(MIB as usize)?;
                stock
                    .multiparts
                    .iter()
                    .take(count)
                    .map(|to| part(to, big_bytes(mode), &filler))
                    .collect()
            },
        ),
        crowd("deletes", (DOCUMENTS, DOCUMENTS), (60, 60), served, |count, _, _| {
            (0..count).map(document).collect()
        }),
        crowd("stopped-documents", (100, 100), (6, 35), calm, |count, _, _| {
            let whole = document(0)?;
            Ok(vec![Script { stops_after: Some(whole.body_bytes / 2), ..whole }; count])
        }),
        small("small-96", 96),
        small("small-128", 128),
        small("small-256", 256),
    ]
}

/// The routes with the largest answers.
#[derive(Clone, Copy)]
enum Largest {
    Html,
    Json,
    Limits,
    S3,
    Zip,
    Tar,
}

const ANSWERS: [Largest; 6] =
    [Largest::Html, Largest::Json, Largest::Limits, Largest::S3, Largest::Zip, Largest::Tar];

impl Largest {
    fn script(self) -> Result<Script> {
        let html = "Accept: text/html\r\n";
        let head = match self {
            Self::Html => head_of("GET", "/_/files/long/deep/", 0, html),
            Self::Json => head_of("GET", "/_/files/long/deep/?format=json", 0, ""),
            Self::Limits => head_of("GET", "/_/limits", 0, html),
            Self::S3 => {
                let query = format!("list-type=2&max-keys={LONG_KEYS}&prefix=deep%2F");
                bare_head("GET", &presigned("GET", "/long", &query, &[])?, 0, "")
            }
            Self::Zip => head_of("GET", "/_/files/long/few/?archive=zip", 0, ""),
            Self::Tar => head_of("GET", "/_/files/long/deep/?archive=tar", 0, ""),
        };
        Ok(get(head))
    }
}

fn get(head: String) -> Script {
    Script {
        head,
        filler: Arc::from([0]),
        body_bytes: 0,
        stops_after: None,
        send: Pace::FULL,
        read: Pace::FULL,
        expected: None,
        again: false,
    }
}

fn upload(name: &str, bytes: u64, filler: Arc<[u8]>) -> Script {
    let head = head_of("PUT", &format!("/_/files/storm/{name}"), bytes, "");
    Script { filler, body_bytes: bytes, ..get(head) }
}

fn big_bytes(mode: Mode) -> u64 {
    if mode == Mode::Full { 128 * MIB } else { 32 * MIB }
}

/// The first part of a multipart upload that has been begun.
fn part((path, id): &(String, String), bytes: u64, filler: &Arc<[u8]>) -> Result<Script> {
    let target = presigned("PUT", path, &format!("partNumber=1&uploadId={id}"), &[])?;
    let head = bare_head("PUT", &target, bytes, "");
    Ok(Script { filler: Arc::clone(filler), body_bytes: bytes, ..get(head) })
}

fn slow_readers(count: usize, answers: &[Largest]) -> Result<Vec<Script>> {
    let script = |index: usize| {
        Ok(Script { read: Pace::of(SLOW), ..answers[index % answers.len()].script()? })
    };
    (0..count).map(script).collect()
}

fn slow_uploads(count: usize, at_once: u64) -> Result<Vec<Script>> {
    let filler = unique(MIB as usize)?;
    let script = |index| Script {
        send: Pace { at_once, per_s: Some(KB) },
        ..upload(&format!("slow-{index}"), 64 * MIB, Arc::clone(&filler))
    };
    Ok((0..count).map(script).collect())
}

/// A document that deletes as many keys as one may name, some of them of objects that are there.
fn document(index: usize) -> Result<Script> {
    let object = |at| format!("<Object><Key>{}</Key></Object>", in_xml(&doomed_key(index, at)));
    let objects: String = (0..LONG_KEYS).map(object).collect();
    let body =
        format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{objects}</Delete>");
    let target = presigned("POST", "/long", "delete=", &[])?;
    let head = bare_head("POST", &target, body.len() as u64, "");
    let bytes = body.len() as u64;
    Ok(Script { filler: body.into_bytes().into(), body_bytes: bytes, ..get(head) })
}

/// A part of each kind.
fn everything(count: usize, _: Mode, stock: &Stock) -> Result<Vec<Script>> {
    let part = count / 4;
    let mut scripts = slow_readers(part, &ANSWERS)?;
    scripts.extend(slow_uploads(part, 0)?);
    scripts.extend(slow_uploads(part, 9 * KB)?);
    let download = Script {
        read: Pace::of(100 * KB),
        expected: Some(Arc::clone(&stock.object)),
        ..get(head_of("GET", "/_/files/storm/download", 0, ""))
    };
    scripts.extend(vec![download; part / 2]);
    scripts.extend(
        (0..16.min(part))
            .map(|at| Ok(Script { again: true, ..ANSWERS[at % 6].script()? }))
            .collect::<Result<Vec<_>>>()?,
    );
    scripts.push(document(0)?);
    scripts.push(upload("big", 32 * MIB, unique(MIB as usize)?));
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_have_names_of_their_own_and_stay_longer_in_full_mode() {
        let all = all();
        let names: std::collections::BTreeSet<_> = all.iter().map(|crowd| crowd.name).collect();
        assert_eq!(names.len(), all.len());
        for crowd in &all {
            assert!(crowd.clients.0 > 0 && crowd.clients.0 <= crowd.clients.1, "{}", crowd.name);
            assert!(crowd.seconds.0 <= crowd.seconds.1, "{}", crowd.name);
        }
    }

    #[test]
    fn a_document_is_about_as_large_as_one_may_be() {
        let bytes = document(DOCUMENTS - 1).expect("a document").body_bytes;
        assert!((7 * MIB / 4..2 * MIB).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn in_full_mode_the_wait_is_judged_by_its_figure() {
        let judged = Judged::new(HALF);
        assert_eq!((judged.wait_max(Mode::Full), judged.wait_max(Mode::Quick)), (HALF, NOISY_WAIT));
    }
}
