//! The pictures of a watch: terminal, HTML, SVG, JSON, CSV, Prometheus.
//!
//! Each is a pure function of a [`Report`](fdwatch::Report): no clock, no environment, and no more
//! memory than a process's worth at a time, since they write as they go. Names and targets are any
//! bytes, so all of them go through `printable.rs` first and then through the escapes of the
//! format.

pub mod csv;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod headline_tests;
pub mod html;
pub mod json;
#[cfg(test)]
mod json_schema_tests;
mod markup;
mod phrase;
pub(crate) mod printable;
pub mod prometheus;
pub mod prometheus_server;
mod quantity;
#[cfg(test)]
mod snapshots;
pub mod svg;
pub mod terminal;
pub mod text;

pub(crate) use json::SCHEMA;
pub(crate) use phrase::verdict_word;
pub(crate) use printable::Printable;
