//! The registers of a tracee that matter here, on each architecture.

use framehop::UnwindRegsNative;

use super::image::NativeUnwinder;

/// At a stop in a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) pc: u64,
    pub(super) sp: u64,
    fp: u64,
    /// Return address in a register; 0 where the architecture has none.
    lr: u64,
    /// What the call returned, at its end only.
    result: u64,
    /// The first four arguments. On aarch64 the first is gone at the end of the call.
    arguments: [u64; 4],
}

impl Registers {
    /// The result of a call that has ended; `None` if it failed.
    pub(super) fn result(&self) -> Option<u64> {
        /// The kernel returns errors as -1 to -4095.
        const ERRORS_FROM: u64 = -4095_i64 as u64;
        (self.result < ERRORS_FROM).then_some(self.result)
    }

    pub(super) fn argument(&self, index: usize) -> Option<u64> {
        self.arguments.get(index).copied()
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn unwind(&self, _unwinder: &NativeUnwinder) -> UnwindRegsNative {
        debug_assert_eq!(self.lr, 0);
        UnwindRegsNative::new(self.pc, self.sp, self.fp)
    }

    /// Return addresses may be signed: the signature lies above all addresses of code.
    #[cfg(target_arch = "aarch64")]
    pub(super) fn unwind(&self, unwinder: &NativeUnwinder) -> UnwindRegsNative {
        use framehop::Unwinder as _;
        let mask = framehop::aarch64::PtrAuthMask::from_max_known_address(
            unwinder.max_known_code_address(),
        );
        UnwindRegsNative::new_with_ptr_auth_mask(mask, self.lr, self.sp, self.fp)
    }
}

#[cfg(target_arch = "x86_64")]
impl From<&libc::user_regs_struct> for Registers {
    fn from(registers: &libc::user_regs_struct) -> Self {
        Self {
            pc: registers.rip,
            sp: registers.rsp,
            fp: registers.rbp,
            lr: 0,
            result: registers.rax,
            arguments: [registers.rdi, registers.rsi, registers.rdx, registers.r10],
        }
    }
}

#[cfg(target_arch = "aarch64")]
impl From<&libc::user_regs_struct> for Registers {
    fn from(registers: &libc::user_regs_struct) -> Self {
        let general = &registers.regs;
        Self {
            pc: registers.pc,
            sp: registers.sp,
            fp: general[29],
            lr: general[30],
            result: general[0],
            arguments: [general[0], general[1], general[2], general[3]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_no_results() {
        let registers = |result: i64| Registers {
            pc: 0,
            sp: 0,
            fp: 0,
            lr: 0,
            result: result.cast_unsigned(),
            arguments: [0; 4],
        };
        assert_eq!(registers(0).result(), Some(0));
        assert_eq!(registers(5).result(), Some(5));
        for error in [-1, -2, -512, -4095] {
            assert_eq!(registers(error).result(), None);
        }
        assert!(registers(-4096).result().is_some());
    }
}
