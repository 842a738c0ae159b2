//! Standard input as a source. When it is empty, the command that should have written it has mostly
//! failed. So empty input is refused and replaces no object, also when it is `/dev/null`, a file or
//! a terminal. `--allow-empty` stores it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use drystone_store::ObjectMeta;

use super::Put;
use crate::streams;

const NAME: &str = "-";
/// Bytes read before it is decided whether the input is empty.
const FIRST_BYTES: usize = 64 << 10;

impl Put<'_> {
    pub(super) fn standard_input(&mut self, key: &str, allow_empty: bool) -> anyhow::Result<()> {
        if streams::is_stdin_closed() {
            let closed = "standard input is closed; nothing was stored or replaced";
            return self.failed(Path::new(NAME), anyhow::anyhow!(closed));
        }
        if io::stdin().is_terminal() {
            let line = format!(
                "drystone: `{}` is read from the terminal; Ctrl-D in an empty line ends it",
                key.escape_debug()
            );
            self.progress.suspend(|| self.output.note(line));
        }
        // The standard library's own input is not used: it takes a descriptor that is not open for
        // reading for an input at its end.
        let opened = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let mut first = Vec::new();
        let read = opened.and_then(|mut input| {
            first = read_first(&mut input)?;
            Ok(input)
        });
        let input = match read {
            Ok(input) => input,
            Err(error) => {
                self.interrupt.check()?;
                return self
                    .failed(Path::new(NAME), anyhow::Error::new(error).context("cannot read it"));
            }
        };
        if first.is_empty() && !allow_empty {
            let empty = "standard input is empty; nothing was stored or replaced (if it is meant \
                         to be empty: --allow-empty)";
            return self.failed(Path::new(NAME), anyhow::anyhow!(empty));
        }
        let meta =
            ObjectMeta { modified_ns: nanoseconds(SystemTime::now()), ..ObjectMeta::default() };
        self.object(key, meta, None, &mut first.as_slice().chain(input))
    }
}

/// The bytes of the first read; none at the end of the input.
fn read_first(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = vec![0; FIRST_BYTES];
    loop {
        match input.read(&mut first) {
            Ok(len) => {
                first.truncate(len);
                return Ok(first);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
