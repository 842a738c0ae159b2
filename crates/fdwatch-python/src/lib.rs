//! The native half of the Python package `fdwatch`; the other half, which people import, is below
//! `python/`.
//!
//! What Python is given is plain: numbers, strings and tuples. The interpreter is let go while
//! `/proc` is read, so other threads of Python go on.

use pyo3::pymodule;

/// `fdwatch._native`.
#[pymodule]
mod _native {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use fdwatch::{Descriptor, Error, Socket};
    use pyo3::exceptions::{PyOSError, PyValueError};
    use pyo3::prelude::*;
    use pyo3::types::PyString;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Family, state, own end, other end.
    type SocketRow = (&'static str, &'static str, String, String);
    /// Number, kind, target, socket.
    type Row<'py> = (i32, &'static str, Bound<'py, PyString>, Option<SocketRow>);
    /// Pid, start, rows, whether some are missing.
    type SnapshotRow<'py> = (u32, u64, Vec<Row<'py>>, bool);

    /// How many descriptors a process has; without a pid, this one.
    #[pyfunction]
    #[pyo3(signature = (pid=None))]
    fn count(py: Python<'_>, pid: Option<i64>) -> PyResult<u64> {
        let pid = known(pid)?;
        let counted = py.detach(|| match pid {
            // Looking at oneself by number takes descriptors, and would count them.
            None => fdwatch::own(),
            Some(pid) if pid == std::process::id() => fdwatch::own(),
            Some(pid) => fdwatch::count(pid).map(|counted| counted.descriptors),
        });
        counted.map_err(|error| as_python(&error))
    }

    /// All descriptors of a process; without a pid, of this one.
    #[pyfunction]
    #[pyo3(signature = (pid=None))]
    fn snapshot(py: Python<'_>, pid: Option<i64>) -> PyResult<SnapshotRow<'_>> {
        let pid = known(pid)?;
        let seen = py.detach(|| fdwatch::snapshot(pid.unwrap_or_else(std::process::id)));
        let seen = seen.map_err(|error| as_python(&error))?;
        let rows =
            seen.descriptors.into_iter().map(|open| row(py, open)).collect::<PyResult<_>>()?;
        Ok((seen.key.pid, seen.key.start_ticks, rows, seen.is_cut))
    }

    fn row(py: Python<'_>, open: Descriptor) -> PyResult<Row<'_>> {
        // As `os.fsdecode` does it: what is no text comes back from `os.fsencode` as it was.
        let target = OsStr::from_bytes(&open.target).into_pyobject(py)?;
        let socket = open
            .socket
            .map(|Socket { family, state, local, peer, .. }| (family, state, local, peer));
        Ok((open.fd, open.kind.name(), target, socket))
    }

    fn known(pid: Option<i64>) -> PyResult<Option<u32>> {
        match pid {
            None => Ok(None),
            Some(pid @ 1..) => match u32::try_from(pid) {
                Ok(pid) => Ok(Some(pid)),
                Err(_) => Err(no_process(pid)),
            },
            Some(pid) => Err(PyValueError::new_err(format!("{pid} is no pid: they begin with 1"))),
        }
    }

    fn no_process(pid: i64) -> PyErr {
        PyOSError::new_err((libc::ESRCH, format!("there is no process {pid}, or no longer")))
    }

    /// `OSError` makes itself `ProcessLookupError`, `PermissionError` and so on from the number.
    fn as_python(error: &Error) -> PyErr {
        match error {
            Error::Gone { pid } => no_process((*pid).into()),
            Error::NotPermitted { .. } => PyOSError::new_err((libc::EACCES, error.to_string())),
            Error::Read { source, .. } => {
                let said = format!("{error}: {source}");
                match source.raw_os_error() {
                    Some(code) => PyOSError::new_err((code, said)),
                    None => PyOSError::new_err(said),
                }
            }
            _ => PyOSError::new_err(error.to_string()),
        }
    }
}
