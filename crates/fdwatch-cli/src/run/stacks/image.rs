//! The code of one process as it is mapped, and the walk up a stack in it.
//!
//! Read when a stack is first wanted and again when a walk meets unknown code, less and less often
//! where that does not help (a compiler at run time). A library that takes the place of another
//! that was unloaded is not noticed.

use std::rc::Rc;

use framehop::{
    FrameAddress, MayAllocateDuringUnwind, Module, UnwindRegsNative, Unwinder as _, UnwinderNative,
};

use super::interner::{Code as FrameCode, FRAMES_MAX, Frame};
use super::made_code::MadeName;
use super::maps::{Mapping, code_of};
use super::memory::StackMemory;
use super::modules::Modules;
use super::registers::Registers;

pub(super) type NativeUnwinder = UnwinderNative<Rc<[u8]>, MayAllocateDuringUnwind>;
type NativeCache = framehop::CacheNative<MayAllocateDuringUnwind>;

/// The unwinder tells modules apart by a number of 16 bits that it counts up: its cache must be
/// younger than one round.
const MODULES_FOR_A_CACHE: u32 = 1 << 14;

/// What is remembered between walks, over all processes.
pub(super) struct WalkCache {
    rules: NativeCache,
    modules_added: u32,
}

pub(super) struct Image {
    unwinder: NativeUnwinder,
    /// By address.
    code: Vec<Code>,
}

struct Code {
    mapping: Mapping,
    module: u32,
    bias: u64,
}

/// What a walk found.
pub(super) struct Walk {
    pub(super) frames: Vec<Frame>,
    /// Some frame lies in code that is not known.
    pub(super) is_lost: bool,
}

impl Image {
    pub(super) fn of(process: u32, modules: &mut Modules, cache: &mut WalkCache) -> Self {
        let mut image = Self { unwinder: NativeUnwinder::new(), code: Vec::new() };
        for mapping in code_of(process) {
            let Some(number) = modules.number(process, &mapping) else { continue };
            let Some(module) = modules.get(number) else { continue };
            let Some(bias) = module.bias(&mapping) else { continue };
            // Addresses as linked are relative to 0, so the base is where 0 would be.
            let module = Module::new(String::new(), mapping.range.clone(), bias, module.sections());
            image.unwinder.add_module(module);
            cache.added();
            image.code.push(Code { mapping, module: number, bias });
        }
        image
    }

    /// Whether it has the same code as another.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let ranges =
            |image: &Self| image.code.iter().map(|code| code.mapping.clone()).collect::<Vec<_>>();
        ranges(self) == ranges(other)
    }

    /// `made` names code that belongs to no file.
    pub(super) fn walk(
        &self,
        registers: &Registers,
        memory: &mut StackMemory,
        cache: &mut WalkCache,
        mut made: impl FnMut(u64) -> Option<MadeName>,
    ) -> Walk {
        let mut walk = Walk { frames: Vec::with_capacity(FRAMES_MAX), is_lost: false };
        let mut unwound = registers.unwind(&self.unwinder);
        let mut address = FrameAddress::from_instruction_pointer(registers.pc);
        loop {
            let frame = self.frame(address, &mut made);
            walk.is_lost |= frame.code == FrameCode::Unknown;
            walk.frames.push(frame);
            if walk.frames.len() == FRAMES_MAX {
                return walk;
            }
            let is_made = matches!(frame.code, FrameCode::Made(_)) && frame.is_return;
            let left = is_made.then(|| leave(address.address(), &mut unwound, memory)).flatten();
            let next = left.or_else(|| {
                let mut read = |address| memory.word(address).ok_or(());
                self.unwinder
                    .unwind_frame(address, &mut unwound, &mut cache.rules, &mut read)
                    .ok()
                    .flatten()
            });
            match next.and_then(FrameAddress::from_return_address) {
                Some(next) => address = next,
                None => return walk,
            }
        }
    }

    fn frame(&self, at: FrameAddress, made: &mut impl FnMut(u64) -> Option<MadeName>) -> Frame {
        let (address, is_return) = (at.address(), at.is_return_address());
        let after = self.code.partition_point(|code| code.mapping.range.start <= address);
        let code = after.checked_sub(1).map(|at| &self.code[at]);
        match code.filter(|code| code.mapping.range.contains(&address)) {
            Some(code) => {
                let address = address.wrapping_sub(code.bias);
                Frame { code: FrameCode::File { module: code.module, address }, is_return }
            }
            // A return address is that of the next instruction, which may belong to something else.
            None => match made(address - u64::from(is_return)) {
                Some(name) => Frame { code: FrameCode::Made(name), is_return },
                None => Frame { code: FrameCode::Unknown, is_return },
            },
        }
    }
}

/// The way out of code that was made at run time and does nothing more after a call than to return:
/// the instructions there say how. So are the trampolines of Python 3.12, which keep no frame
/// pointer. `None`: it goes by its frame pointer, like all other such code.
#[cfg(target_arch = "x86_64")]
fn leave(address: u64, registers: &mut UnwindRegsNative, memory: &mut StackMemory) -> Option<u64> {
    // add $N, %rsp; ret
    let [0x48, 0x83, 0xc4, bytes, 0xc3] = memory.code(address)? else { return None };
    let at = registers.sp().checked_add(u64::from(bytes))?;
    let back = memory.word(at)?;
    registers.set_sp(at.checked_add(8)?);
    registers.set_ip(back);
    Some(back)
}

#[cfg(target_arch = "aarch64")]
fn leave(
    _address: u64,
    _registers: &mut UnwindRegsNative,
    _memory: &mut StackMemory,
) -> Option<u64> {
    None
}

impl WalkCache {
    pub(super) fn new() -> Self {
        Self { rules: NativeCache::new(), modules_added: 0 }
    }

    fn added(&mut self) {
        self.modules_added += 1;
        if self.modules_added >= MODULES_FOR_A_CACHE {
            *self = Self::new();
        }
    }
}
