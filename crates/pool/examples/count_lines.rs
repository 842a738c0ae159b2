//! Counts the lines of files in parallel, in an amount of memory that is fixed at the beginning.
//!
//! `cargo run --example count_lines -- FILE…`; without a file it counts its own lines.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use drystone_pool::{BufferPool, Order, WorkerPool};

const WORKERS: usize = 2;
const BUFFER_BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        files.push(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/count_lines.rs").into());
    }
    println!("{} lines", count(files)?);
    Ok(())
}

/// The lines of all files together. `files` may be any iterator: at most four of its items are
/// pulled ahead.
fn count(files: impl IntoIterator<Item = PathBuf>) -> Result<usize, Box<dyn std::error::Error>> {
    let workers = WorkerPool::new("counter", WORKERS, 2 * WORKERS)?;
    let buffers = BufferPool::new(WORKERS, BUFFER_BYTES, WORKERS);
    let lent = buffers.clone();
    let counted = workers.map(files, 2 * WORKERS, Order::Completion, move |path| {
        let mut lease = lent.owner().acquire().map_err(io::Error::other)?;
        lines(File::open(path)?, &mut lease)
    });
    let mut sum = 0;
    for lines in counted {
        // The outer result is that of the job, which may have panicked; the inner one is its value.
        sum += lines??;
    }
    let usage = buffers.usage();
    eprintln!("buffers: {} of {} were in use at once", usage.high_water, usage.ceiling);
    Ok(sum)
}

fn lines(mut file: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut lines = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok(lines),
            len => lines += buffer[..len].iter().filter(|byte| **byte == b'\n').count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn every_line_of_every_file_is_counted() {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/count_lines.rs");
        let expected = include_str!("count_lines.rs").lines().count();
        let counted = count([own; 5].map(Into::into)).expect("it is there to be read");
        assert_eq!(counted, 5 * expected);
        assert!(count([own, "no such file"].map(Into::into)).is_err());
    }
}
