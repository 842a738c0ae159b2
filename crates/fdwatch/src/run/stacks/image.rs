//! The code of one process as it is mapped, and the walk up a stack in it.
//!
//! Read when a stack is first wanted and again when a walk meets unknown code, less and less often where that does not help (a compiler
//! at run time). A library that takes the place of another that was unloaded is not noticed.

use std::rc::Rc;

use framehop::{MayAllocateDuringUnwind, Module, Unwinder as _, UnwinderNative};

use super::interner::{FRAMES_MAX, Frame};
use super::maps::{Mapping, code_of};
use super::memory::StackMemory;
use super::modules::Modules;
use super::registers::Registers;

pub(super) type NativeUnwinder = UnwinderNative<Rc<[u8]>, MayAllocateDuringUnwind>;
type NativeCache = framehop::CacheNative<MayAllocateDuringUnwind>;

/// The unwinder tells modules apart by a number of 16 bits that it counts up: its cache must be younger than one round.
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
        let ranges = |image: &Self| image.code.iter().map(|code| code.mapping.clone()).collect::<Vec<_>>();
        ranges(self) == ranges(other)
    }

    pub(super) fn walk(
        &self,
        registers: &Registers,
        memory: &mut StackMemory,
        cache: &mut WalkCache,
    ) -> Walk {
        let mut walk = Walk { frames: Vec::with_capacity(FRAMES_MAX), is_lost: false };
        let mut read = |address| memory.word(address).ok_or(());
        let from = registers.unwind(&self.unwinder);
        let mut frames = self.unwinder.iter_frames(registers.pc, from, &mut cache.rules, &mut read);
        while walk.frames.len() < FRAMES_MAX
            && let Ok(Some(address)) = frames.next()
        {
            let frame = self.frame(address.address(), address.is_return_address());
            walk.is_lost |= frame.module.is_none();
            walk.frames.push(frame);
        }
        walk
    }

    fn frame(&self, address: u64, is_return: bool) -> Frame {
        let after = self.code.partition_point(|code| code.mapping.range.start <= address);
        let code = after.checked_sub(1).map(|at| &self.code[at]);
        match code.filter(|code| code.mapping.range.contains(&address)) {
            Some(code) => {
                Frame { module: Some(code.module), address: address.wrapping_sub(code.bias), is_return }
            }
            None => Frame { module: None, address: 0, is_return },
        }
    }
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
