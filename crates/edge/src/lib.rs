//! What stands between clients and a store.
//!
//! A client's pace never holds what others need. What is scarce is taken for a *turn*: for as long
//! as a machine works with it, not for as long as a line is slow. Between two turns a request holds
//! its connection, and what is its own lies in the [`spool`]. Turns are given out by [`gate`]s:
//! small requests first, then one after the other by key and by address.
//!
//! This crate knows no protocol, no page and no configuration; what it needs is handed in.

#[cfg(model_shuttle)]
extern crate self as tokio;

pub mod flight;
pub mod gate;
#[cfg(model_shuttle)]
pub mod model;
pub mod spool;
mod turns;

#[cfg(model_shuttle)]
use model::{sync, time};
