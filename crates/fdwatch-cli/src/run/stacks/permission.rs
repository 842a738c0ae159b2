//! Whether tracing can work here, found out before the command starts.

use std::fs;
use std::io;

use crate::run::StacksError;

const RESTART: &str = "restart the machine with another setting";

/// What can be known without trying.
pub(in super::super) fn check() -> Result<(), StacksError> {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").ok();
    judge(scope(), actions.as_deref(), &rustix::system::uname().release().to_string_lossy())
}

/// The same for what runs already; whether a process may be traced is known only when it is tried.
pub(super) fn check_attaching() -> Result<(), StacksError> {
    judge_attaching(scope(), &rustix::system::uname().release().to_string_lossy())
}

fn judge_attaching(scope: u32, release: &str) -> Result<(), StacksError> {
    /// Since then a stop at a call tells which one it is.
    const NEEDED: ((u32, u32), &str) = ((5, 3), "5.3 or later to attach to what runs already");
    if is_older(release, NEEDED.0) {
        return Err(StacksError::Kernel { found: release.to_owned(), needed: NEEDED.1 });
    }
    if scope >= 3 {
        return Err(StacksError::YamaAttaching { scope, remedy: RESTART });
    }
    Ok(())
}

fn scope() -> u32 {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    scope.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What is no release is taken for a new one: trying tells.
fn is_older(release: &str, than: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < than,
        _ => false,
    }
}

/// `scope`: of yama, which at 0 and 1 lets us trace our own children.
fn judge(scope: u32, actions: Option<&str>, release: &str) -> Result<(), StacksError> {
    /// Since then a filter is asked after the tracer at the beginning of a call, so that the next
    /// stop is its end.
    const RELEASE_MIN: (u32, u32) = (4, 8);
    const NEEDED: &str = "4.8 or later with CONFIG_SECCOMP_FILTER";
    if is_older(release, RELEASE_MIN) {
        return Err(StacksError::Kernel { found: release.to_owned(), needed: NEEDED });
    }
    if actions.is_some_and(|actions| !actions.split_whitespace().any(|action| action == "trace")) {
        let found = format!("{release} without the seccomp action `trace`");
        return Err(StacksError::Kernel { found, needed: NEEDED });
    }
    if scope >= 3 {
        return Err(StacksError::Yama { scope, remedy: RESTART });
    }
    Ok(())
}

/// What attaching to our own child failed with.
pub(super) fn refused(source: io::Error) -> StacksError {
    match scope() {
        scope @ 2.. => StacksError::Yama {
            scope,
            remedy: "run as root, or `sysctl kernel.yama.ptrace_scope=1`",
        },
        _ => StacksError::Ptrace { source },
    }
}

/// What attaching to a process that runs already failed with.
pub(super) fn refused_attaching(pid: u32, source: io::Error) -> StacksError {
    judge_refusal(scope(), pid, source)
}

fn judge_refusal(scope: u32, pid: u32, source: io::Error) -> StacksError {
    const REMEDY: &str = "only root may attach to what runs already; run as root, start it with \
         `fdwatch run --stacks`, or \
                          `sysctl kernel.yama.ptrace_scope=0`";
    match scope {
        1.. if source.raw_os_error() == Some(libc::EPERM)
            && !rustix::process::geteuid().is_root() =>
        {
            StacksError::YamaAttaching { scope, remedy: REMEDY }
        }
        _ => StacksError::Attaching { pid, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let all = Some("kill_process kill_thread trap errno user_notif trace log allow");
        for release in ["6.18.44-fc", "4.8", "4.8.0-rc1", "5.0", "10.0", "unknown"] {
            assert!(judge(0, all, release).is_ok(), "{release}");
            assert!(judge(2, None, release).is_ok(), "{release}");
        }
        for release in ["4.7.10", "3.10.0-1160.el7"] {
            assert!(matches!(judge(0, all, release), Err(StacksError::Kernel { .. })), "{release}");
        }
        assert!(matches!(
            judge(0, Some("kill errno allow"), "6.1"),
            Err(StacksError::Kernel { .. })
        ));
        assert!(matches!(judge(3, all, "6.1"), Err(StacksError::Yama { scope: 3, .. })));
    }

    #[test]
    fn attaching_takes_a_newer_kernel_and_a_setting_that_lets_it() {
        for scope in 0..3 {
            assert!(
                judge_attaching(scope, "5.3.0").is_ok()
                    && judge_attaching(scope, "unknown").is_ok()
            );
        }
        assert!(matches!(judge_attaching(0, "5.2.21"), Err(StacksError::Kernel { .. })));
        assert!(matches!(
            judge_attaching(3, "6.1"),
            Err(StacksError::YamaAttaching { scope: 3, .. })
        ));
        let refused = || io::Error::from_raw_os_error(libc::EPERM);
        assert!(matches!(judge_refusal(0, 7, refused()), StacksError::Attaching { pid: 7, .. }));
        let is_root = rustix::process::geteuid().is_root();
        let by_yama =
            matches!(judge_refusal(1, 7, refused()), StacksError::YamaAttaching { scope: 1, .. });
        assert_eq!(by_yama, !is_root);
    }
}
