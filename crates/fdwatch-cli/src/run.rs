//! Starts a command and stays beside it: signals and the exit code go through, nothing it leaves
//! behind goes unseen.
//!
//! [`Child`] is the command, [`Events`] is what the owner waits on: the next tick, a signal, the
//! end of the command. Both belong to one thread of a process that does nothing else:
//! [`Child::poll`] reaps *every* child of the process, since orphans of the command become ours
//! (`PR_SET_CHILD_SUBREAPER`).
//!
//! The command is not started directly but by the same binary, which is started with a hidden first
//! argument ([`exec_stage`]) and then becomes the command by `exec`: all that has to be set up in
//! between is ordinary code of a process with one thread, never code between `fork` and `exec`.
//!
//! # What goes through
//! - Standard input, output and error, the environment, the working folder, ignored signals
//!   (`nohup`), the signal mask, the process group and with it the terminal.
//! - The exit code; a death by signal N is 128+N, as in a shell ([`Status::exit_code`]). A command
//!   that is not there is 127, one that cannot be executed 126 ([`RunError::exit_code`]).
//! - SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH sent to us. One that the kernel
//!   sent (Ctrl-C, Ctrl-\, a new window size) went to the whole foreground group, so the command
//!   has it already: it is not sent twice ([`Child::forward`]). A signal that a *process* sent to
//!   the whole group cannot be told from one sent to us alone: the command gets that one twice.
//! - Ctrl-Z stops both and `fg` continues both: we do not catch SIGTSTP or SIGCONT.
//!
//! # When we are killed
//! The command is killed with us, also by SIGKILL (`PR_SET_PDEATHSIG`): no process would be left
//! that knows of it. Not its own children: only a tracer or a container reaches those, so they are
//! killed with us where the command is traced. A set-user-ID command drops the setting.

mod attached;
mod child;
mod error;
mod events;
mod exec_stage;
mod leftovers;
mod proc_stat;
mod signals;
mod stack_id;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod stacks;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "run/stacks_absent.rs"]
mod stacks;

pub use attached::Attached;
pub use child::{Child, RunConfig, Status};
pub use error::{RunError, StacksError};
pub use events::{Event, Events};
pub use exec_stage::exec_stage;
pub use leftovers::{LEFTOVERS_MAX, Leftover, Leftovers};
pub use signals::{Caught, Sender};
pub use stack_id::{StackId, StackLosses};
pub use stacks::Stacks;
