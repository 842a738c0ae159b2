//! The plan as a table for people.

use std::fmt;

use super::{Ceiling, Plan, Resource, Spend, spend};
use crate::format_bytes;

impl Plan {
    /// The table, line by line, without line ends: the ceilings with their sources, then how each
    /// is spent.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["ceilings".to_owned()];
        lines.extend(self.ceilings.iter().map(ceiling_line));
        for resource in
            [Resource::Memory, Resource::Descriptors, Resource::Threads, Resource::Children]
        {
            lines.push(String::new());
            self.section(resource, &mut lines);
        }
        if self.connections > 0 {
            lines.push(String::new());
            self.in_words(&mut lines);
        }
        lines
    }

    /// What a server can do with its rows.
    fn in_words(&self, lines: &mut Vec<String>) {
        let slot = format_bytes(self.spool_slot_bytes);
        lines.extend([
            "what that buys".to_owned(),
            format!(
                "  {} clients are connected at a time; one more takes the place of an idle one, \
                 or waits",
                self.connections
            ),
            format!(
                "  {} uploads and {} downloads work at a time and take turns; as many as are \
                 connected go on",
                self.ingests, self.reads
            ),
            format!(
                "  {} answers leave in large pieces at a time, the others in pieces of 16 KiB",
                self.transfers
            ),
            format!(
                "  {} lists and documents are in memory at a time, each for as long as it is made \
                 or read",
                self.documents
            ),
            format!(
                "  up to {} archives are made at a time: each holds its connection, and a zip its \
                 list on the disk",
                self.connections
            ),
            format!(
                "  what a client is slow to send or to read waits on the disk: up to {} times \
                 {slot}",
                self.connections
            ),
        ]);
    }

    fn section(&self, resource: Resource, lines: &mut Vec<String>) {
        lines.push(row(&resource.to_string(), "count", "each", "total"));
        for Spend { use_, count, unit, total, .. } in
            self.spends.iter().filter(|s| s.resource == resource)
        {
            lines.push(row(
                &format!("  {use_}"),
                &count.to_string(),
                &amount(resource, *unit),
                &amount(resource, *total),
            ));
        }
        let total = spend::total(&self.spends, resource);
        lines.push(row("  total", "", "", &amount(resource, total)));
        if let Some(ceiling) = self.ceilings.iter().find(|ceiling| ceiling.resource == resource) {
            let remains = match ceiling.value {
                u64::MAX => u64::MAX,
                value => value.saturating_sub(total),
            };
            lines.push(row("  remains", "", "", &amount(resource, remains)));
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn ceiling_line(Ceiling { resource, value, source }: &Ceiling) -> String {
    format!("  {resource:<12} {:>10}  {source}", amount(*resource, *value))
}

fn row(label: &str, count: &str, each: &str, total: &str) -> String {
    format!("{label:<44} {count:>5} {each:>10} {total:>10}")
}

fn amount(resource: Resource, value: u64) -> String {
    match (resource, value) {
        (_, u64::MAX) => "unlimited".to_owned(),
        (Resource::Memory, bytes) => format_bytes(bytes),
        (_, count) => count.to_string(),
    }
}
