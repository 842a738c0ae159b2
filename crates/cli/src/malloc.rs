//! Bounds what the C library's allocator keeps. It keeps enough that a server does not take a page
//! fault for each page of each buffer again.
//!
//! Read buffers of wide connections are 128 KiB. By default glibc maps and unmaps such a buffer
//! each time: an upload of 1 GiB then costs 95,000 page faults and a fifth of the server's CPU
//! time. And glibc makes up to eight arenas for each CPU that it sees, also where the cgroup grants
//! fewer CPUs.
#![allow(unsafe_code, reason = "mallopt and malloc_trim have no safe wrapper")]

use drystone_limits::constants::{ALLOCATOR_ARENAS, ALLOCATOR_KEEPS_BYTES, WIDE_CONNECTION_BYTES};

/// To be called before other threads are started, because glibc makes arenas for them. Does nothing
/// with another C library.
pub(crate) fn bound() {
    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (libc::M_ARENA_MAX, ALLOCATOR_ARENAS),
        // Setting one of these stops glibc from adjusting both by itself.
        (libc::M_MMAP_THRESHOLD, WIDE_CONNECTION_BYTES),
        (libc::M_TRIM_THRESHOLD, ALLOCATOR_KEEPS_BYTES),
    ] {
        let value = libc::c_int::try_from(value).expect("the constants are small");
        // SAFETY: takes two integers and has no preconditions. A refusal costs speed only.
        let _ = unsafe { libc::mallopt(option, value) };
    }
}

/// Gives what is free back to the system. The allocator by itself gives back only what lies at the
/// end of an arena: after a crowd of slow readers it kept 20 to 60 MiB of holes.
pub(crate) fn give_back() {
    // SAFETY: takes an integer, and touches only free memory of the allocator.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
