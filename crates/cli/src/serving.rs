//! The settings of a server: from flags, variables and the configuration file, and again from the
//! file while the server runs.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use drystone_chunker::Chunking;
use drystone_config::Config;
use drystone_limits::{Plan, format_bytes};
use drystone_server::{Controls, Deadlines};
use drystone_store::SyncPolicy;

use crate::args::{ServeArgs, ServingArgs};
use crate::open;
use crate::settings::Settings;

const PORT_DEFAULT: u16 = 7080;

/// Where a server listens. By default that is loopback, which other machines cannot reach.
pub(crate) fn listen(args: &ServeArgs, file: &Config) -> SocketAddr {
    args.listen.or(file.listen).unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)))
}

/// What can change while a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// `None`: the default, or as many as fit.
    pub(crate) connections: Option<u64>,
    pub(crate) transfers: Option<u64>,
    pub(crate) deadlines: Deadlines,
}

impl Serving {
    pub(crate) fn resolve(args: &ServingArgs, file: &Config) -> Self {
        let default = Deadlines::default();
        let seconds = |said: Option<u16>, default| {
            said.map_or(default, |said| Duration::from_secs(said.into()))
        };
        Self {
            connections: args.connections.or(file.connections).map(u64::from),
            transfers: args.transfers.or(file.transfers).map(u64::from),
            deadlines: Deadlines {
                head: seconds(file.head_seconds, default.head),
                idle: seconds(file.idle_seconds, default.idle),
                body: seconds(file.body_seconds, default.body),
                unread: seconds(file.unread_seconds, default.unread),
                turn: seconds(file.turn_seconds, default.turn),
                drain: seconds(file.drain_seconds, default.drain),
            },
        }
    }

    /// The plan of the running server, with these ceilings. A ceiling that is asked for as before
    /// stays as it is, also where the start could not give all of it.
    fn refit(&self, before: &Self, plan: &Plan) -> anyhow::Result<Plan> {
        if (self.connections, self.transfers) == (before.connections, before.transfers) {
            return Ok(plan.clone());
        }
        let same = (self.connections == before.connections).then_some(plan.connections as u64);
        let connections = same.or(self.connections);
        let same = (self.transfers == before.transfers).then_some(plan.transfers as u64);
        if self.transfers.is_some() {
            return Ok(plan.with_serving(connections, same.or(self.transfers))?);
        }
        let fitted = plan.with_serving(connections, None)?;
        // Transfers follow the connections. But more connections do not cost transfers, unless the
        // settings ask for that.
        let least = same.map(|same| same.min(fitted.connections as u64 / 2));
        match least.filter(|least| (fitted.transfers as u64) < *least) {
            Some(least) => Ok(plan.with_serving(connections, Some(least))?),
            None => Ok(fitted),
        }
    }
}

/// Reads the configuration file again and changes a running server.
pub(crate) struct Reload {
    controls: Controls,
    args: ServingArgs,
    chunking: Chunking,
    /// Settings that flags and variables give. The file does not change them.
    overridden: Vec<&'static str>,
    /// With the file that is in force. A setting that needs a restart is still the one from the
    /// start.
    running: Settings,
    plan: Plan,
}

impl Reload {
    pub(crate) fn new(
        controls: Controls,
        args: &ServeArgs,
        running: Settings,
        chunking: Chunking,
        plan: Plan,
    ) -> Self {
        let flags = &running.flags;
        let said = [
            ("store", flags.store.is_some()),
            ("memory", flags.memory.is_some()),
            ("workers", flags.workers.is_some()),
            ("sync", flags.sync.is_some()),
            ("listen", args.listen.is_some()),
            ("connections", args.serving.connections.is_some()),
            ("transfers", args.serving.transfers.is_some()),
        ];
        let overridden =
            said.iter().filter(|(_, is_said)| *is_said).map(|(setting, _)| *setting).collect();
        Self { controls, args: args.serving, chunking, overridden, running, plan }
    }

    /// Applies everything that the file says or nothing. The log tells which. Blocks while the file
    /// is read.
    pub(crate) fn run(&mut self) {
        if let Err(error) = self.try_run() {
            let error = format!("{error:#}");
            tracing::warn!(error, "reload refused: everything stays as it is");
        }
    }

    fn try_run(&mut self) -> anyhow::Result<()> {
        let file = self.running.source.read()?;
        let before = Serving::resolve(&self.args, &self.running.file);
        let after = Serving::resolve(&self.args, &file);
        let plan = after.refit(&before, &self.plan)?;
        // A file with which the server could not start again is refused now. Otherwise the failure
        // would show at the next restart, perhaps long after the edit.
        let restarted = self.running.with_file(file.clone());
        open::plan_serving(&restarted, self.chunking, &after, self.plan.tls)
            .context("a restart with this file would fail")?;
        let mut changes = self.needs_restart(&file);
        changes.extend(self.changes(&before, &after, &plan));
        self.controls.change(plan.clone(), after.deadlines)?;
        let mut applied = 0;
        for Change { setting, from, to, how } in changes {
            match how {
                How::Applied => {
                    applied += 1;
                    tracing::info!(setting, from, to, "reloaded");
                }
                How::Overridden => tracing::warn!(
                    setting,
                    from,
                    to,
                    "changed in the configuration file, but a flag or a variable says otherwise"
                ),
                How::Restart => {
                    tracing::warn!(
                        setting,
                        from,
                        to,
                        "changed in the configuration file, but needs a restart"
                    );
                }
            }
        }
        tracing::info!(applied, "reload done");
        // A change that waits for a restart is logged with every reload until the restart.
        let kept = self.running.file.clone();
        let Config { store, memory, workers, sync, listen, .. } = kept;
        self.running =
            self.running.with_file(Config { store, memory, workers, sync, listen, ..file });
        self.plan = plan;
        Ok(())
    }

    /// The changes that a running server cannot make.
    fn needs_restart(&self, file: &Config) -> Vec<Change> {
        let old = &self.running.file;
        let size = |bytes: Option<u64>| bytes.map(format_bytes);
        let policy = |sync: Option<SyncPolicy>| {
            sync.map(|sync| if sync == SyncPolicy::Commit { "commit" } else { "never" })
        };
        let path = |config: &Config| config.store.as_ref().map(|path| path.display().to_string());
        let changes = [
            Change::of("store", path(old), path(file)),
            Change::of("memory", size(old.memory), size(file.memory)),
            Change::of("workers", old.workers, file.workers),
            Change::of("sync", policy(old.sync), policy(file.sync)),
            Change::of("listen", old.listen, file.listen),
            // Only overridden ones: a ceiling that is in force is compared with the plan, in
            // `changes`.
            Change::of("connections", old.connections, file.connections)
                .filter(|_| self.is_said("connections")),
            Change::of("transfers", old.transfers, file.transfers)
                .filter(|_| self.is_said("transfers")),
        ];
        let judge = |change: Change| {
            let how = if self.is_said(change.setting) { How::Overridden } else { How::Restart };
            Change { how, ..change }
        };
        changes.into_iter().flatten().map(judge).collect()
    }

    fn is_said(&self, setting: &str) -> bool {
        self.overridden.contains(&setting)
    }

    /// The changes that are made now.
    fn changes(&self, before: &Serving, after: &Serving, plan: &Plan) -> Vec<Change> {
        let (old, new) = (&before.deadlines, &after.deadlines);
        let number = |setting, from: usize, to: usize| Change::of(setting, Some(from), Some(to));
        let time = |setting, from: Duration, to: Duration| {
            Change::of(setting, Some(from.as_secs()), Some(to.as_secs()))
        };
        let changes = [
            number("connections", self.plan.connections, plan.connections),
            number("transfers", self.plan.transfers, plan.transfers),
            time("head_seconds", old.head, new.head),
            time("idle_seconds", old.idle, new.idle),
            time("body_seconds", old.body, new.body),
            time("unread_seconds", old.unread, new.unread),
            time("turn_seconds", old.turn, new.turn),
            time("drain_seconds", old.drain, new.drain),
        ];
        changes.into_iter().flatten().collect()
    }
}

/// One setting whose value has changed.
struct Change {
    setting: &'static str,
    from: String,
    to: String,
    how: How,
}

enum How {
    Applied,
    Overridden,
    Restart,
}

impl Change {
    fn of<T: Display + PartialEq>(
        setting: &'static str,
        from: Option<T>,
        to: Option<T>,
    ) -> Option<Self> {
        let is_same = from == to;
        let shown = |value: Option<T>| {
            value.map_or_else(|| "not set".to_owned(), |value| value.to_string())
        };
        (!is_same).then(|| Self { setting, from: shown(from), to: shown(to), how: How::Applied })
    }
}
