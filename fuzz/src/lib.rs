//! How a fuzz target is made from a body, and the one body that is not in testkit.

mod config;

pub use config::config;

/// Makes the fuzz target of a body.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $body(data));

        /// SQLite's C code is instrumented by the system's compiler and the rest by rustc's; between the two, the address
        /// sanitizer takes SQLite's static tables for defined twice.
        // SAFETY: the sanitizer's runtime asks for this very symbol and signature; nothing else has the name.
        #[unsafe(no_mangle)]
        extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
            c"detect_odr_violation=0".as_ptr()
        }
    };
}
