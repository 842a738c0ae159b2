//! How a fuzz target is made from a body, and the bodies that are in neither testkit nor fdwatch.
//!
//! Those of the server's parsers are the server's own files, and so are the parsers: with the
//! server would come all of S3, HTTP and TLS, which is most of what there would be to compile. The
//! same holds for the command `fdwatch`, of which only the printing of names is here.

mod config;
#[path = "../../crates/server/src/files"]
mod files {
    #[allow(dead_code, reason = "the bodies need less of it than the server")]
    pub(crate) mod fields;
}
#[path = "../../crates/server/src/fuzzing/mod.rs"]
mod fuzzing;
#[path = "../../crates/fdwatch-cli/src/fuzzing.rs"]
mod names;
#[path = "../../crates/server/src/range.rs"]
mod range;
#[path = "../../crates/fdwatch-cli/src/report"]
mod report {
    pub(crate) mod printable;
}
#[path = "../../crates/server/src/s3"]
mod s3 {
    pub(crate) mod framing;
}

pub use config::config;
pub use fuzzing::{aws_chunked, form_body, http_range};

/// The files of a process, and how the names in them are shown.
pub fn proc_files(data: &[u8]) {
    fdwatch::fuzzing::proc_files(data);
    names::shown(data);
}

/// Makes the fuzz target of a body.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $body(data));

        /// SQLite's C code is instrumented by the system's compiler and the rest by rustc's;
        /// between the two, the address sanitizer takes SQLite's static tables for defined twice.
        // SAFETY: the sanitizer's runtime asks for this very symbol and signature; nothing else has
        // the name.
        #[unsafe(no_mangle)]
        extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
            c"detect_odr_violation=0".as_ptr()
        }
    };
}
