//! What is done with a server that was just started, and how it is timed.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::Bench;
use super::client::{Client, Small, Timed, Way};
use super::contestant::Kind;
use super::figures::{Measure, Sample};
use super::running::Running;
use super::usage::{self, Usage};

/// One contestant's turn at one part.
pub(super) struct Turn<'a> {
    pub(super) bench: &'a Bench<'a>,
    pub(super) server: &'a Running,
    pub(super) client: Client<'a>,
    pub(super) folder: &'a Path,
}

impl Turn<'_> {
    pub(super) fn plain(&self, url: &str) -> Result<Vec<(Measure, Sample)>> {
        let up = self.plain_upload(url)?;
        let large = format!("{url}large");
        // Not timed: the first read of the bytes that were just written, and the comparison.
        self.compare(&large, &self.bench.large_sha256)?;
        let down = self.transfer(|| self.client.download(&large))?;
        Ok(vec![(Measure::PlainPut, up), (Measure::PlainGet, down)])
    }

    pub(super) fn plain_instead_of_signed(&self, url: &str) -> Result<Vec<(Measure, Sample)>> {
        Ok(vec![(Measure::SignedPut, self.plain_upload(url)?)])
    }

    fn plain_upload(&self, url: &str) -> Result<Sample> {
        self.client.upload(&self.bench.path("warm"), &format!("{url}warm"))?;
        self.transfer(|| self.client.upload(&self.bench.path("large"), &format!("{url}large")))
    }

    pub(super) fn signed(
        &self,
        kind: Kind,
        url: &str,
        notes: &mut Vec<String>,
    ) -> Result<Vec<(Measure, Sample)>> {
        let warm = self.bench.path("warm");
        self.client.upload_signed(
            &warm,
            &self.client.sha256_of_file(&warm)?,
            &format!("{url}warm"),
        )?;
        if !self.client.is_verified(&warm, &format!("{url}wrong"))? {
            let note =
                format!("{} does not verify the SHA-256 that a PUT is signed with", kind.name());
            ensure!(!kind.is_drystone(), "{note}");
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        let (large, sha256) = (self.bench.path("large"), &self.bench.large_sha256);
        let to = format!("{url}large");
        let up = self.transfer(|| self.client.upload_signed(&large, sha256, &to))?;
        ensure!(self.client.sha256_signed(&to)? == *sha256, "{to} has other bytes than were put");
        Ok(vec![(Measure::SignedPut, up)])
    }

    pub(super) fn clients(&self, url: &str) -> Result<Vec<(Measure, Sample)>> {
        self.client.upload(&self.bench.path("warm"), &format!("{url}warm"))?;
        let folder = &self.bench.scratch.0;
        let up = self.transfer(|| self.client.at_once(Way::Up, folder, url))?;
        for (index, sha256) in self.bench.clients_sha256.iter().enumerate() {
            self.compare(&format!("{url}c{}", index + 1), sha256)?;
        }
        let down = self.transfer(|| self.client.at_once(Way::Down, folder, url))?;
        Ok(vec![(Measure::ClientsPut, up), (Measure::ClientsGet, down)])
    }

    pub(super) fn small(&self, url: &str) -> Result<Vec<(Measure, Sample)>> {
        let (script, body) = (self.bench.path("small.lua"), self.bench.path("small/s000"));
        let small = Small { script: &script, body: &body };
        let seconds = self.bench.args.seconds;
        self.client.upload_small(&self.bench.path("small"), url)?;
        let puts = self.watched(|| self.client.small(Way::Up, seconds, &small, url))?;
        self.client.small_is_there(&small, &self.bench.path("expected"), url)?;
        self.compare(&format!("{url}s000"), &self.client.sha256_of_file(&body)?)?;
        let gets = self.watched(|| self.client.small(Way::Down, seconds, &small, url))?;
        Ok(vec![(Measure::SmallPut, puts), (Measure::SmallGet, gets)])
    }

    fn compare(&self, url: &str, sha256: &str) -> Result<()> {
        ensure!(self.client.sha256(url)? == sha256, "{url} has other bytes than were put");
        Ok(())
    }

    /// Times the transfer of everything that is to be sent.
    fn transfer(&self, work: impl FnOnce() -> Result<Timed>) -> Result<Sample> {
        let size = self.bench.args.size;
        self.watched(|| {
            let Timed { seconds, bytes } = work()?;
            ensure!(bytes == size, "{bytes} bytes were sent, not {size}");
            if seconds <= 0.0 {
                bail!("no time has passed");
            }
            Ok(bytes as f64 / 1e6 / seconds)
        })
    }

    /// The rate that the work returns, and what the server used meanwhile.
    fn watched(&self, work: impl FnOnce() -> Result<f64>) -> Result<Sample> {
        self.client.write_back(self.folder)?;
        usage::forget_high_water(self.server.id())?;
        let before = Usage::of(self.server.id())?;
        let rate = work()?;
        let after = Usage::of(self.server.id())?;
        let usage = Usage { cpu_seconds: after.cpu_seconds - before.cpu_seconds, ..after };
        Ok(Sample { rate, usage })
    }
}
