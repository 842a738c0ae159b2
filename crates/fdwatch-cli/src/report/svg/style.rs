//! Colours: each kind has the same everywhere. Contrast with the page, in both themes: text at
//! least 4.5 to 1, the colours of areas 3 to 1.

use fdwatch::Kind;

/// For the `style` element of an SVG file or of a page. Without custom properties: converters that
/// make a PNG of an SVG do not know them, and everything would be black. On paper it is always
/// light.
pub(in crate::report) const SHEET: &str = "\
.fdw{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:13px;\
font-variant-numeric:tabular-nums}.fdw-title{font-size:17px}.fdw-title,.fdw-strong{font-weight:650}\
.fdw-end{text-anchor:end}.fdw-middle{text-anchor:middle}.fdw-halo{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}\
.fdw-area{stroke-width:.5;stroke-linejoin:round;fill-opacity:.85}.fdw-band{fill-opacity:.14}.fdw-future{fill-opacity:.07}\
.fdw-total,.fdw-ahead{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}\
.fdw-limit{stroke-width:1.5;stroke-dasharray:7 4}.fdw-ahead{stroke-dasharray:2 \
4}.fdw-dot,.fdw-dot-bad{stroke-width:1.5}\
.fdw text{fill:#5b6675}.fdw .fdw-ink,.fdw .fdw-title,.fdw .fdw-strong{fill:#1c2430}\
.fdw .fdw-bad{fill:#c0262d}.fdw .fdw-warn{fill:#9a6200}.fdw .fdw-good{fill:#1b7f4b}\
.fdw-page{fill:#fff}.fdw .fdw-halo,.fdw-area,.fdw-dot,.fdw-dot-bad{stroke:#fff}\
.fdw-grid{stroke:#e3e7ec}.fdw-base{stroke:#aab3be}.fdw-limit,\
.fdw-ahead{stroke:#c0262d}.fdw-total{stroke:#1c2430}\
.fdw-dot,.fdw-band{fill:#1c2430}.fdw-dot-bad{fill:#c0262d}.fdw-future{fill:#5b6675}\
.fdw-file{fill:#3f78b5}.fdw-deleted-file{fill:#d64550}.fdw-directory{fill:#8d6e53}.fdw-memfd{fill:#8a63b8}\
.fdw-tmp-file{fill:#d0699a}.fdw-pipe{fill:#3d9068}.fdw-socket{fill:#cf7a1e}.fdw-event-fd{fill:#2f9aa3}\
.fdw-epoll{fill:#5a96a0}.fdw-inotify{fill:#7c8fd0}.fdw-timer-fd{fill:#978a24}.fdw-pid-fd{fill:#b2653b}\
.fdw-io-uring{fill:#5b7f2b}.fdw-device{fill:#7d8794}.fdw-rest{fill:#8993a0}\
@media screen and (prefers-color-scheme:dark){\
.fdw text{fill:#9aa6b4}.fdw .fdw-ink,.fdw .fdw-title,.fdw .fdw-strong{fill:#e8ecf1}\
.fdw .fdw-bad{fill:#ff7b80}.fdw .fdw-warn{fill:#e9b44c}.fdw .fdw-good{fill:#5fce94}\
.fdw-page{fill:#12161c}.fdw .fdw-halo,.fdw-area,.fdw-dot,.fdw-dot-bad{stroke:#12161c}\
.fdw-grid{stroke:#262d37}.fdw-base{stroke:#4a5563}.fdw-limit,\
.fdw-ahead{stroke:#ff7b80}.fdw-total{stroke:#e8ecf1}\
.fdw-dot,.fdw-band{fill:#e8ecf1}.fdw-dot-bad{fill:#ff7b80}.fdw-future{fill:#9aa6b4}\
.fdw-file{fill:#6ba3df}.fdw-deleted-file{fill:#f0727a}.fdw-directory{fill:#b8977a}.fdw-memfd{fill:#b190de}\
.fdw-tmp-file{fill:#ee94bd}.fdw-pipe{fill:#66bd93}.fdw-socket{fill:#f0a553}.fdw-event-fd{fill:#5cc3cc}\
.fdw-epoll{fill:#8dc3cb}.fdw-inotify{fill:#a0b0ea}.fdw-timer-fd{fill:#cfc25a}.fdw-pid-fd{fill:#d98d63}\
.fdw-io-uring{fill:#8cb257}.fdw-device{fill:#9aa4b1}.fdw-rest{fill:#6f7986}}";

/// The class that colours an area or a swatch.
pub(in crate::report) fn kind_class(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "fdw-file",
        Kind::DeletedFile => "fdw-deleted-file",
        Kind::Directory => "fdw-directory",
        Kind::Memfd => "fdw-memfd",
        Kind::TmpFile => "fdw-tmp-file",
        Kind::Pipe | Kind::Fifo => "fdw-pipe",
        Kind::Socket => "fdw-socket",
        Kind::EventFd => "fdw-event-fd",
        Kind::Epoll => "fdw-epoll",
        Kind::Inotify => "fdw-inotify",
        Kind::TimerFd | Kind::SignalFd => "fdw-timer-fd",
        Kind::PidFd | Kind::Namespace => "fdw-pid-fd",
        Kind::IoUring => "fdw-io-uring",
        Kind::Device => "fdw-device",
        // `Other`, `Unknown`, and kinds that the library has learnt since.
        _ => REST_CLASS,
    }
}

pub(super) const REST_CLASS: &str = "fdw-rest";
