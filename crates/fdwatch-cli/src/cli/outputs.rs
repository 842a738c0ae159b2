//! Where the reports go: each picture to its file, while the watch runs or at its end.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use fdwatch::Report;

use super::arguments::CommonArgs;
use super::failure::Failure;
use super::streams;
use crate::report::prometheus_server::PrometheusServer;
use crate::report::{csv, html, json, prometheus, svg};

/// What was asked for.
pub(super) struct Outputs {
    json: Option<Stream>,
    csv: Option<Stream>,
    html: Option<PathBuf>,
    svg: Option<PathBuf>,
    prometheus: Option<PrometheusServer>,
    /// Out of descriptors: its clients wait for the next tick.
    is_prometheus_resting: bool,
}

/// What grows with every tick.
struct Stream {
    name: String,
    out: Box<dyn Write>,
}

impl Outputs {
    /// Opens the files, so that one that cannot be written is known before anything is watched.
    pub(super) fn open(arguments: &CommonArgs) -> Result<Self, Failure> {
        let is_stdout = |path: &&PathBuf| path.as_os_str() == "-";
        if arguments.json.iter().chain(&arguments.csv).filter(is_stdout).count() > 1 {
            return Err(Failure::Usage(
                "--json and --csv cannot both go to standard output".into(),
            ));
        }
        let mut csv = arguments.csv.as_deref().map(Stream::open).transpose()?;
        if let Some(stream) = &mut csv {
            stream.write(|out| csv::write_header(out))?;
        }
        for picture in arguments.html.iter().chain(&arguments.svg) {
            check_folder(picture)?;
        }
        let server = arguments.prometheus.as_deref().map(|address| {
            PrometheusServer::bind(address).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => Failure::Usage(format!("--prometheus: {error}")),
                _ => Failure::output(format_args!("the metrics at {address}"), error),
            })
        });
        let server = server.transpose()?;
        if let Some(address) = server.as_ref().and_then(|server| server.local_addr().ok()) {
            streams::note(format_args!("metrics at http://{address}/metrics"));
        }
        Ok(Self {
            json: arguments.json.as_deref().map(Stream::open).transpose()?,
            csv,
            html: arguments.html.clone(),
            svg: arguments.svg.clone(),
            prometheus: server,
            is_prometheus_resting: false,
        })
    }

    /// Whether standard output is taken.
    pub(super) fn take_stdout(arguments: &CommonArgs) -> bool {
        arguments.json.iter().chain(&arguments.csv).any(|path| path.as_os_str() == "-")
    }

    /// After a tick.
    pub(super) fn tick(&mut self, report: &Report) -> Result<(), Failure> {
        self.is_prometheus_resting = false;
        if let Some(stream) = &mut self.json {
            stream.write(|out| json::write(out, report, false))?;
        }
        if let Some(stream) = &mut self.csv {
            stream.write(|out| csv::write_rows(out, report))?;
        }
        Ok(())
    }

    /// At the end.
    pub(super) fn finish(&mut self, report: &Report) -> Result<(), Failure> {
        if let Some(stream) = &mut self.json {
            stream.write(|out| json::write(out, report, true))?;
        }
        if let Some(path) = &self.html {
            write_whole(path, |out| html::write(out, report))?;
        }
        if let Some(path) = &self.svg {
            write_whole(path, |out| svg::write(out, report))?;
        }
        Ok(())
    }

    /// What to wait for beside the next tick.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.prometheus
            .as_ref()
            .filter(|_| !self.is_prometheus_resting)
            .map(PrometheusServer::as_fd)
    }

    /// Answers a client that asks for the metrics.
    pub(super) fn answer(&mut self, report: &Report) -> Result<(), Failure> {
        let Some(server) = &mut self.prometheus else { return Ok(()) };
        let text = || {
            let mut text = Vec::new();
            // Writing into memory does not fail.
            let _ = prometheus::write(&mut text, report);
            String::from_utf8_lossy(&text).into_owned()
        };
        let served = server.poll(text).map_err(|error| Failure::output("the metrics", error))?;
        self.is_prometheus_resting = !served;
        Ok(())
    }
}

impl Stream {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self {
                name: "standard output".into(),
                out: Box::new(BufWriter::new(streams::stdout()?)),
            });
        }
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => Ok(Self { name, out: Box::new(BufWriter::new(file)) }),
            Err(error) => Err(Failure::output(name, error)),
        }
    }

    /// Flushed each time: who follows the file sees whole lines.
    fn write(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let written = write(&mut self.out).and_then(|()| self.out.flush());
        written.map_err(|error| Failure::output(&self.name, error))
    }
}

/// Beside the file first, so that a reader never sees half of it and a failure keeps the old one.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = File::create(&part).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        std::fs::rename(&part, path)
    });
    written.map_err(|error| {
        // It may not even exist.
        let _ = std::fs::remove_file(&part);
        Failure::output(path.display(), error)
    })
}

/// An hour of watching must not end with a folder that is not there.
fn check_folder(path: &Path) -> Result<(), Failure> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(folder) {
        Ok(meta) if meta.is_dir() && !path.is_dir() => Ok(()),
        Ok(_) => Err(Failure::output(path.display(), io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(Failure::output(path.display(), error)),
    }
}
