//! The table of what a process has open, and the call stacks that opened it.

use std::io::{self, Write};

use fdwatch::{GroupReport, ProcessReport, Report};

use crate::report::markup::of_bytes;
use crate::report::quantity::{ago, count, rate, signed};
use crate::report::svg::kind_class;

/// Lines of a table, stacks of a group, frames of a stack.
const GROUPS_MAX: usize = 40;
const STACKS_MAX: usize = 5;
const FRAMES_MAX: usize = 32;

pub(super) fn write(
    out: &mut dyn Write,
    process: &ProcessReport,
    report: &Report,
) -> io::Result<()> {
    writeln!(
        out,
        "<div class=\"wide\"><table>\n<thead><tr><th>what</th><th>kind</th><th \
         class=\"n\">open</th><th class=\"n\">growth</th>\
         <th class=\"n\">rate</th><th class=\"n\">opened, closed</th><th class=\"n\">last \
         grew</th></tr></thead>\n<tbody>"
    )?;
    for group in process.groups.iter().take(GROUPS_MAX) {
        write_group(out, group, report)?;
    }
    writeln!(out, "</tbody></table></div>")?;
    if process.groups.len() > GROUPS_MAX {
        writeln!(
            out,
            "<p class=\"note\">and {} more groups</p>",
            process.groups.len() - GROUPS_MAX
        )?;
    }
    let groups = process.groups.iter().take(GROUPS_MAX);
    for group in groups.filter(|group| !group.stacks.is_empty()) {
        write_stacks(out, group)?;
    }
    Ok(())
}

fn write_group(out: &mut dyn Write, group: &GroupReport, report: &Report) -> io::Result<()> {
    let row = if group.trend.is_leak { " class=\"leak\"" } else { "" };
    writeln!(
        out,
        "<tr{row}><td><code>{}</code></td><td><svg class=\"fdw key\" viewBox=\"0 0 10 10\" \
         aria-hidden=\"true\"><rect class=\"{}\" \
         width=\"10\" height=\"10\" rx=\"2.5\"/></svg>{}</td><td class=\"n\">{}</td><td \
         class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
        of_bytes(&group.pattern),
        kind_class(group.kind),
        group.kind.name(),
        count(group.count.into()),
        signed(group.growth),
        rate(group.trend.per_second),
        group.evidence.map_or_else(
            || "–".to_owned(),
            |moved| format!("{}, {}", count(moved.opened), count(moved.closed))
        ),
        if group.growth > 0 { ago(group.grew_at_ms, report.elapsed) } else { "–".to_owned() }
    )
}

fn write_stacks(out: &mut dyn Write, group: &GroupReport) -> io::Result<()> {
    let pattern = of_bytes(&group.pattern);
    writeln!(out, "<details>\n<summary>Which code opened <code>{pattern}</code></summary>")?;
    for stack in group.stacks.iter().take(STACKS_MAX) {
        writeln!(out, "<p>{} of them still open, by</p>\n<ol>", count(stack.count.into()))?;
        for frame in stack.frames.iter().take(FRAMES_MAX) {
            writeln!(out, "<li><code>{}</code></li>", of_bytes(frame.as_bytes()))?;
        }
        writeln!(out, "</ol>")?;
        if stack.frames.len() > FRAMES_MAX {
            writeln!(
                out,
                "<p class=\"note\">and {} frames more</p>",
                stack.frames.len() - FRAMES_MAX
            )?;
        }
    }
    if group.stacks.len() > STACKS_MAX {
        writeln!(out, "<p class=\"note\">and {} stacks more</p>", group.stacks.len() - STACKS_MAX)?;
    }
    writeln!(out, "</details>")
}
