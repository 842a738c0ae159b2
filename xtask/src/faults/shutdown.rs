//! The power cut of one ext4 file system: `EXT4_IOC_SHUTDOWN`.

// The call has no safe wrapper.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use rustix::ioctl::{Setter, ioctl, opcode};

/// `EXT4_IOC_SHUTDOWN` (Linux: `fs/ext4/ext4.h`), the `FS_IOC_SHUTDOWN` that XFS began: `_IOR('X',
/// 125, __u32)`. The kernel reads the number, although the name of the macro says otherwise.
const SHUTDOWN: u32 = opcode::read::<u32>(b'X', 125);
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: what is in memory only is lost, the journal's included.
const WITHOUT_LOG_FLUSH: u32 = 2;

/// From now on nothing of the file system that `folder` is in reaches its disk; unmount it, and
/// mount it again.
pub(super) fn cut_power(folder: &File) -> io::Result<()> {
    // SAFETY: the code takes a pointer to a `__u32`, which the kernel only reads and which lives
    // until the call returns. On another file system it is an unknown code and an error.
    unsafe { Ok(ioctl(folder, Setter::<SHUTDOWN, u32>::new(WITHOUT_LOG_FLUSH))?) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_code_is_that_of_the_kernel() {
        assert_eq!(super::SHUTDOWN, 0x8004_587d);
    }
}
