//! In place of `stacks.rs` where that is not built: there never are any.

use std::collections::BTreeMap;
use std::io;

use fdwatch::{ProcessKey, StackCount};

use super::StacksError;
use super::stack_id::{Served, StackId, StackLosses};

/// Not available in this build: there is no value of it.
#[derive(Debug)]
pub enum Stacks {}

#[allow(missing_docs, reason = "documented where they do something")]
impl Stacks {
    pub(super) fn seize(_pid: u32) -> Result<Self, StacksError> {
        check().map(|()| unreachable!("it is refused"))
    }

    pub(super) fn of_running() -> Result<Self, StacksError> {
        check().map(|()| unreachable!("it is refused"))
    }

    pub(super) fn attach(&mut self, _process: ProcessKey) -> Result<(), StacksError> {
        match *self {}
    }

    pub(super) fn serve(&mut self) -> io::Result<Served> {
        match *self {}
    }

    pub(super) fn detach(&mut self) -> bool {
        match *self {}
    }

    pub(super) fn stopped(&mut self, _tid: i32, _status: i32) {
        match *self {}
    }

    pub(super) fn ended(&mut self, _tid: i32) {
        match *self {}
    }

    pub fn stacks_of(&self, _pid: u32, _fds: &[i32]) -> BTreeMap<i32, StackId> {
        match *self {}
    }

    pub fn describe(&mut self, _stacks: &[StackId]) -> Vec<Vec<String>> {
        match *self {}
    }

    pub fn most(&mut self, _pid: u32, _fds: &[i32], _stacks_max: usize) -> Vec<StackCount> {
        match *self {}
    }

    pub fn losses(&self) -> StackLosses {
        match *self {}
    }
}

pub(super) fn check() -> Result<(), StacksError> {
    Err(StacksError::NotBuilt)
}

pub(super) fn install_filter() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
