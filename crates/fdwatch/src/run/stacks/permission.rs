//! Whether tracing can work here, found out before the command starts.

use std::fs;
use std::io;

use crate::run::StacksError;

/// What can be known without trying.
pub(in super::super) fn check() -> Result<(), StacksError> {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    let scope = scope.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").ok();
    judge(scope, actions.as_deref(), &rustix::system::uname().release().to_string_lossy())
}

/// `scope`: of yama, which at 0 and 1 lets us trace our own children.
fn judge(scope: u32, actions: Option<&str>, release: &str) -> Result<(), StacksError> {
    /// Since then a filter is asked after the tracer at the beginning of a call, so that the next stop is its end.
    const RELEASE_MIN: (u32, u32) = (4, 8);
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < RELEASE_MIN
    {
        return Err(StacksError::Kernel { found: release.to_owned() });
    }
    if actions.is_some_and(|actions| !actions.split_whitespace().any(|action| action == "trace")) {
        return Err(StacksError::Kernel { found: format!("{release} without the seccomp action `trace`") });
    }
    if scope >= 3 {
        return Err(StacksError::Yama { scope, remedy: "restart the machine with another setting" });
    }
    Ok(())
}

/// What attaching failed with.
pub(super) fn refused(source: io::Error) -> StacksError {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    match scope.and_then(|text| text.trim().parse().ok()) {
        Some(scope @ 2..) => {
            StacksError::Yama { scope, remedy: "run as root, or `sysctl kernel.yama.ptrace_scope=1`" }
        }
        _ => StacksError::Ptrace { source },
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
        assert!(matches!(judge(0, Some("kill errno allow"), "6.1"), Err(StacksError::Kernel { .. })));
        assert!(matches!(judge(3, all, "6.1"), Err(StacksError::Yama { scope: 3, .. })));
    }
}
