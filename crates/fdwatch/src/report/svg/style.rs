//! Colours: each kind has the same everywhere, and both themes are legible (text at least 4.5 to 1, areas 3 to 1 against the page).

use crate::Kind;

/// For the `style` element of an SVG file or of a page.
pub(in crate::report) const SHEET: &str = "\
.fdw{--page:#fff;--ink:#1c2430;--soft:#5b6675;--line:#e3e7ec;--axis:#aab3be;--bad:#c0262d;--warn:#9a6200;--good:#1b7f4b;\
--file:#3f78b5;--deleted:#d64550;--folder:#8d6e53;--memory:#8a63b8;--tmp:#d0699a;--pipe:#3d9068;--socket:#e0882b;\
--event:#2f9aa3;--epoll:#6aa5ae;--watch:#7c8fd0;--timer:#a89b2d;--process:#b2653b;--ring:#5b7f2b;--device:#7d8794;--rest:#a4acb7;\
font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:13px;font-variant-numeric:tabular-nums}\
@media (prefers-color-scheme:dark){.fdw{--page:#12161c;--ink:#e8ecf1;--soft:#9aa6b4;--line:#262d37;--axis:#4a5563;--bad:#ff7b80;\
--warn:#e9b44c;--good:#5fce94;--file:#6ba3df;--deleted:#f0727a;--folder:#b8977a;--memory:#b190de;--tmp:#ee94bd;--pipe:#66bd93;\
--socket:#f0a553;--event:#5cc3cc;--epoll:#8dc3cb;--watch:#a0b0ea;--timer:#cfc25a;--process:#d98d63;--ring:#8cb257;\
--device:#9aa4b1;--rest:#6f7986}}\
.fdw text{fill:var(--soft)}.fdw-page{fill:var(--page)}.fdw .fdw-title{fill:var(--ink);font-size:17px;font-weight:650}\
.fdw .fdw-ink{fill:var(--ink)}.fdw .fdw-strong{fill:var(--ink);font-weight:650}.fdw .fdw-bad{fill:var(--bad)}\
.fdw .fdw-warn{fill:var(--warn)}.fdw .fdw-good{fill:var(--good)}.fdw .fdw-halo{paint-order:stroke;stroke:var(--page);\
stroke-width:4px;stroke-linejoin:round}.fdw-end{text-anchor:end}.fdw-middle{text-anchor:middle}.fdw-grid{stroke:var(--line)}\
.fdw-base{stroke:var(--axis)}.fdw-area{stroke:var(--page);stroke-width:1;stroke-linejoin:round;fill-opacity:.82}\
.fdw-total{fill:none;stroke:var(--ink);stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}\
.fdw-band{fill:var(--ink);fill-opacity:.14}.fdw-limit{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:7 4}\
.fdw-ahead{fill:none;stroke:var(--bad);stroke-width:1.8;stroke-dasharray:2 4;stroke-linecap:round}\
.fdw-future{fill:var(--soft);fill-opacity:.07}.fdw-dot{fill:var(--ink);stroke:var(--page);stroke-width:1.5}\
.fdw-dot-bad{fill:var(--bad);stroke:var(--page);stroke-width:1.5}\
.fdw-file{fill:var(--file)}.fdw-deleted-file{fill:var(--deleted)}.fdw-directory{fill:var(--folder)}.fdw-memfd{fill:var(--memory)}\
.fdw-tmp-file{fill:var(--tmp)}.fdw-pipe{fill:var(--pipe)}.fdw-socket{fill:var(--socket)}.fdw-event-fd{fill:var(--event)}\
.fdw-epoll{fill:var(--epoll)}.fdw-inotify{fill:var(--watch)}.fdw-timer-fd{fill:var(--timer)}.fdw-pid-fd{fill:var(--process)}\
.fdw-io-uring{fill:var(--ring)}.fdw-device{fill:var(--device)}.fdw-rest{fill:var(--rest)}";

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
        Kind::Other | Kind::Unknown => REST_CLASS,
    }
}

pub(super) const REST_CLASS: &str = "fdw-rest";
