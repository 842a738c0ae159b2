//! One page that says it all: verdict, graphs, what is open, which code opened it, and how it was
//! measured.
//!
//! Self-contained: no script, nothing fetched (its content security policy forbids both), light and
//! dark, made to be printed. Everything that has a bound in a page has it here: a page about a
//! thousand processes has as many graphs as one about thirty.

mod groups;
mod style;

use std::io::{self, Write};

use fdwatch::{ProcessReport, Report, Verdict};

use super::markup::{Markup, of_bytes};
use super::phrase::{Tone, children, headline, process_verdict, short_verdict, tone, verdict_word};
use super::quantity::{count, count_or_unknown, duration, moment, rate};
use super::svg;

/// Processes that have a graph and a table; the others have a line.
const DETAILED_MAX: usize = 24;
/// Lines of the table of processes.
const PROCESSES_MAX: usize = 1_000;

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    write_head(out, report)?;
    write_verdict(out, report)?;
    if report.processes.len() > 1 || report.processes_left_out > 0 {
        write_processes(out, report)?;
    }
    for (at, process) in report.processes.iter().take(DETAILED_MAX).enumerate() {
        write_process(out, process, at, report)?;
    }
    out.write_all(MEASURED.as_bytes())?;
    out.write_all(b"</main>\n</body>\n</html>\n")
}

fn write_head(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'; \
         base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<meta name=\"referrer\" \
         content=\"no-referrer\"/>\n\
         <title>fdwatch: {}</title>\n<style>\n{}\n{}\n</style>\n</head>\n<body>\n<main>",
        Markup(headline(report)),
        svg::SHEET,
        style::SHEET
    )
}

fn write_verdict(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let class = tone_class(report.verdict);
    writeln!(out, "<header>\n<p class=\"what\">fdwatch")?;
    for target in &report.targets {
        writeln!(out, "<span>{}</span>", of_bytes(target.as_bytes()))?;
    }
    let word = verdict_word(report.verdict).replace('-', " ");
    writeln!(
        out,
        "</p>\n<h1 class=\"{class}\"><b class=\"{class}\">{word}</b> {}</h1>\n<dl>",
        Markup(headline(report))
    )?;
    for (name, value) in [
        ("began", moment(report.started_unix_ms)),
        ("lasted", duration(report.elapsed)),
        ("counted every", duration(report.interval)),
        ("processes", processes_in_words(report)),
        ("children", children(&report.children)),
    ] {
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(out, "</dl>\n</header>")
}

fn processes_in_words(report: &Report) -> String {
    let watched = count(report.processes.len() as u64);
    match report.processes_left_out {
        0 => watched,
        left_out => format!("{watched}, and {} too many to be watched", count(left_out.into())),
    }
}

fn write_processes(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "<section>\n<h2>Processes</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>process</th>\
         <th class=\"n\">pid</th>\
         <th class=\"n\">open</th><th class=\"n\">most</th><th class=\"n\">limit</th><th \
         class=\"n\">rate</th>\
         <th>verdict</th></tr></thead>\n<tbody>"
    )?;
    for (at, process) in report.processes.iter().take(PROCESSES_MAX).enumerate() {
        let name = of_bytes(&process.name);
        let cell = if at < DETAILED_MAX {
            format!("<a href=\"#p{at}\">{name}</a>")
        } else {
            name.to_string()
        };
        let is_counted = process.count.is_some();
        let is_undecided = process.verdict == Verdict::Warming;
        writeln!(
            out,
            "<tr><td>{cell}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"{}\">{}</td></tr>",
            process.key.pid,
            count_or_unknown(process.count.filter(|_| process.is_alive())),
            if is_counted { count(process.high_water) } else { String::new() },
            process.limit.map_or_else(String::new, count),
            if is_counted && !is_undecided {
                rate(process.trend.per_second)
            } else {
                String::new()
            },
            tone_class(process.verdict),
            short_verdict(process)
        )?;
    }
    writeln!(out, "</tbody></table></div>")?;
    let more =
        report.processes.len().saturating_sub(PROCESSES_MAX) + report.processes_left_out as usize;
    if more > 0 {
        writeln!(out, "<p class=\"note\">and {} more</p>", count(more as u64))?;
    }
    if report.processes.len() > DETAILED_MAX {
        writeln!(
            out,
            "<p class=\"note\">Graphs and tables of the first {DETAILED_MAX} follow.</p>"
        )?;
    }
    writeln!(out, "</section>")
}

fn write_process(
    out: &mut dyn Write,
    process: &ProcessReport,
    at: usize,
    report: &Report,
) -> io::Result<()> {
    writeln!(
        out,
        "<section id=\"p{at}\">\n<h2>{} <small>pid {}</small></h2>\n<p class=\"{}\"><i></i>{}</p>",
        of_bytes(&process.name),
        process.key.pid,
        tone_class(process.verdict),
        Markup(process_verdict(process))
    )?;
    if !process.series.is_empty() {
        writeln!(out, "<figure>")?;
        svg::write_inline(out, process, report)?;
        writeln!(out, "</figure>")?;
    }
    if !process.groups.is_empty() {
        groups::write(out, process, report)?;
    }
    if process.is_scan_cut {
        writeln!(
            out,
            "<p class=\"note\">It has more descriptors than a scan looks at: kinds and groups are \
             of a part.</p>"
        )?;
    }
    writeln!(out, "</section>")
}

fn tone_class(verdict: Verdict) -> &'static str {
    match tone(verdict) {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warning => "warn",
        Tone::Neutral => "plain",
    }
}

const MEASURED: &str = "\
<section class=\"measured\">
<h2>How this was measured</h2>
<p>The <b>count</b> is what the kernel says of <code>/proc/PID/fd</code>. Only when it has changed were the descriptors
themselves looked at, a bounded number each time; <b>kinds</b> and <b>groups</b> are of the newest such look. A group is what targets
have in common.</p>
<p>The <b>rate</b> is a robust slope after the start-up phase: the median of the slopes between pairs of low counts, each the lowest of
its stretch of time, so that bursts do not tilt it.
<b>Leaking</b> means that descriptors keep being opened that are not closed, by more than chance and bursts explain: <b>opened</b>
and <b>closed</b> are those that came and went between two looks since the start-up phase. <b>Growth</b> is the count now, less the lowest
count since the start-up phase; in the legend of a graph, less the first count. The <b>limit</b> is the soft
<code>RLIMIT_NOFILE</code>, and the time until it is reached supposes that the rate stays.</p>
<p>In a graph the grey band spans the lowest and the highest count of each stretch of time; the line runs in its middle. What is
unknown is called unknown, and is never a 0.</p>
</section>
";
