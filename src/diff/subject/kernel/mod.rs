//! The C of a kernel, as an implementation like any other. It is given what it is
//! given: its own checks of the arguments are under test.

mod allocation;
mod calls;
mod shared;

use core::ffi::c_void;
use std::sync::Arc;

use crate::diff::{Capabilities, Capability, Space};
use crate::module::{Inspection, Module, Stopped};
use crate::runtime::Event;
use crate::{AllocRequest, Errno, GpuBuddyAllocFlag, LogLine};

pub use allocation::KernelAllocation;
use shared::Shared;

/// The allocator of a kernel's C.
///
/// Arguments reach the C as they are, so that its own checks are under test. Kept away is
/// only what no check of the C would end well:
///
/// - a contiguous request above 2^63 bytes, in a space that is larger still: rounding it up
///   to a power of two is undefined in C;
/// - a request of more than 2^32 chunks, rounded up, whose low 32 bits are not 0: the C
///   takes the order from these, and hands out up to 2^32 blocks of it.
///
/// Bits of the flags that this crate has no name for reach the C as well. A list that is
/// allocated onto is what the C leaves of it: a failing contiguous request may have freed
/// what was on it. The C knows of no [base](Space::base), so that the base changes nothing.
///
/// An allocator may have 2^22 objects. Beyond that there is no memory for it, so that a
/// call that never stops asking for more ends with `ENOMEM`.
pub struct KernelC {
    shared: Arc<Shared>,
    /// Warnings that have been reported.
    warnings: usize,
    /// Failures of memory that have been reported.
    failed: u64,
}

/// What a kernel's allocator offers.
pub(in crate::diff) fn capabilities(module: Module) -> Capabilities {
    let features = module.features();
    let mut capabilities = Capabilities::all();
    for (feature, capability) in [
        ("clear", Capability::Clear),
        ("clear", Capability::FreeCleared),
        ("reset_clear", Capability::ResetClear),
        ("contiguous", Capability::Contiguous),
        ("trim_disable", Capability::TrimDisable),
        ("trim_start", Capability::TrimStart),
        ("addr_to_block", Capability::BlockAt),
        ("offset_align", Capability::OffsetAlign),
        ("rounds_up", Capability::RoundsUp),
    ] {
        if !features.has(feature) {
            capabilities.remove(capability);
        }
    }
    capabilities
}

impl KernelC {
    /// A new allocator of a kernel's C, with all of `space` free and dirty.
    ///
    /// # Errors
    ///
    /// Those of the kernel's init function; `ENOTRECOVERABLE` where that runs into a
    /// BUG.
    pub fn new(module: Module, space: Space) -> Result<Self, Errno> {
        module.load().map_err(|stopped| match stopped {
            Stopped::Errno(errno) => errno,
            Stopped::Bug(_) => Errno::ENOTRECOVERABLE,
        })?;
        let mut shared = Shared::new(module, space);
        shared.init(None)?;
        let state = shared.state.get_mut();
        // SAFETY: `mm` has been initialised, and has so many objects.
        let inspection = unsafe { module.inspect(state.mm.as_ptr().cast(), state.arena.live()) };
        shared.arrays = state.arena.live() - inspection.records.len();
        let shared = Arc::new(shared);
        if let Some(set_lock) = module.table().set_lock {
            let map = (&raw const shared.map).cast_mut();
            // SAFETY: `mm` is initialised, and the map stays where it is in the `Arc`.
            shared.call(|mm| unsafe { set_lock(mm, map) })?;
        }
        // It is the calls of a trace whose cost is reported.
        shared.state.lock().cost = None;
        Ok(Self { shared, warnings: 0, failed: 0 })
    }

    /// The kernel that it is of.
    #[must_use]
    pub fn module(&self) -> Module {
        self.shared.module
    }

    /// The space that it was made for.
    #[must_use]
    pub fn space(&self) -> Space {
        self.shared.space
    }

    /// What the C prints of its state, a line each; nothing after a BUG.
    #[must_use]
    pub fn print(&self) -> Vec<LogLine> {
        let print = self.shared.module.table().print;
        // SAFETY: `mm` is initialised and its lock is held.
        self.lines(|mm| unsafe { print(mm) })
    }

    /// What a call of the C prints.
    fn lines(&self, call: impl FnOnce(*mut c_void)) -> Vec<LogLine> {
        let printed = self.shared.call_with_events(call);
        // It is the calls of a trace whose cost is reported.
        self.shared.state.lock().cost = None;
        let lines = printed.map(|((), events)| events).unwrap_or_default();
        let line = |event| match event {
            Event::Log(line) => Some(line),
            _ => None,
        };
        lines.into_iter().filter_map(line).collect()
    }

    fn call<R>(&self, f: impl FnOnce(*mut c_void) -> R) -> Result<R, Errno> {
        self.shared.call(f)
    }

    /// Gives `f` the state, unless it cannot be read any more.
    fn inspect<R>(&self, f: impl FnOnce(*const c_void, &Inspection, usize) -> R) -> Option<R> {
        let state = self.shared.state.lock();
        if state.bug.is_some() || state.finished {
            return None;
        }
        let (mm, live) = (state.mm.as_ptr().cast(), state.arena.live());
        // SAFETY: `mm` is initialised, and the lock is held.
        let inspection = unsafe { self.shared.module.inspect(mm, live) };
        Some(f(mm, &inspection, live))
    }
}

/// Why an allocation is kept away from the C.
pub(crate) fn kept_away(request: &AllocRequest, space: Space) -> Option<&'static str> {
    let Space { size: space, chunk_size, .. } = space;
    let AllocRequest { start, end, size, min_block_size, .. } = *request;
    // What is larger than the space, and what is taken exactly, is told apart before.
    if size > space || start.checked_add(size) == Some(end) {
        return None;
    }
    let rounded = if request.flags.contains(GpuBuddyAllocFlag::Contiguous) {
        match size.checked_next_power_of_two() {
            Some(rounded) => rounded,
            None => return Some("roundup_pow_of_two() is undefined above 2^63"),
        }
    } else {
        size.checked_next_multiple_of(min_block_size).unwrap_or(0)
    };
    let chunks = rounded / chunk_size;
    // The order is that of the low 32 bits. The rest is then made up of small blocks,
    // as if for a machine with terabytes of memory.
    let truncated = chunks > u64::from(u32::MAX) && chunks as u32 != 0;
    truncated.then_some("more than 2^32 chunks are handed out as up to 2^32 single ones")
}
