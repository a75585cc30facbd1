//! The C of a kernel as an implementation. Arguments reach it unchecked, because its own checks are
//! under test.

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
/// Arguments reach the C unchanged, so that its own checks are under test. Only what the C cannot
/// survive is kept away:
///
/// - a contiguous request above 2^63 bytes, in a space that is larger still: `roundup_pow_of_two()`
///   is undefined for it;
/// - a request that rounds up to more than 2^32 chunks, unless the low 32 bits of that number are
///   0: the C computes the order from these bits, and hands out up to 2^32 blocks.
///
/// Flag bits that this crate has no name for reach the C too. An allocation that
/// [`alloc_onto`](super::Implementation::alloc_onto) extends is whatever the C leaves on the list:
/// a failed contiguous request may have freed blocks of it. The C has no [base](Space::base), so
/// the base has no effect.
///
/// An allocator may have up to 2^22 objects. After that, memory fails with `ENOMEM`, so that a call
/// that allocates without end does end.
pub struct KernelC {
    shared: Arc<Shared>,
    /// The number of warnings that were reported.
    warnings: usize,
    /// The number of memory failures that were reported.
    failed: u64,
}

/// The capabilities of a kernel's allocator.
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
    /// Creates an allocator of a kernel's C, with all of `space` free and dirty.
    ///
    /// # Errors
    ///
    /// Those of the kernel's `gpu_buddy_init()`; `ENOTRECOVERABLE` if it runs into a BUG.
    pub fn new(module: Module, space: Space) -> Result<Self, Errno> {
        module.load().map_err(|stopped| match stopped {
            Stopped::Errno(errno) => errno,
            Stopped::Bug(_) => Errno::ENOTRECOVERABLE,
        })?;
        let mut shared = Shared::new(module, space);
        shared.init(None)?;
        let state = shared.state.get_mut();
        // SAFETY: `mm` is initialised, nothing else has it yet, and its arena holds this many
        // objects.
        let inspection = unsafe { module.inspect(state.mm.as_ptr().cast(), state.arena.live()) };
        shared.arrays = state.arena.live() - inspection.records.len();
        let shared = Arc::new(shared);
        if let Some(set_lock) = module.table().set_lock {
            let map = (&raw const shared.map).cast_mut();
            // SAFETY: `mm` is initialised and its lock is held; the map has a fixed address in the
            // `Arc`, which outlives `mm`.
            shared.call(|mm| unsafe { set_lock(mm, map) })?;
        }
        // Only the calls of a trace count.
        shared.state.lock().cost = None;
        Ok(Self { shared, warnings: 0, failed: 0 })
    }

    /// The kernel of this allocator.
    #[must_use]
    pub fn module(&self) -> Module {
        self.shared.module
    }

    /// The space that it was created for.
    #[must_use]
    pub fn space(&self) -> Space {
        self.shared.space
    }

    /// The lines that `gpu_buddy_print()` prints; empty after a BUG.
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

    /// Calls `f` with the state. Returns `None` after a BUG or a teardown.
    fn inspect<R>(&self, f: impl FnOnce(*const c_void, &Inspection, usize) -> R) -> Option<R> {
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        if state.bug.is_some() || state.finished {
            return None;
        }
        let (mm, live) = (state.mm.as_ptr().cast(), state.arena.live());
        // SAFETY: `mm` is initialised, and the lock is held.
        let read = || unsafe { self.shared.module.inspect(mm, live) };
        Some(f(mm, state.inspection.get_or_insert_with(read), live))
    }
}

/// Why a request is kept away from the C; `None` if it is not.
pub(crate) fn kept_away(request: &AllocRequest, space: Space) -> Option<&'static str> {
    let Space { size: space, chunk_size, .. } = space;
    let AllocRequest { start, end, size, min_block_size, .. } = *request;
    // The C handles requests larger than the space, and exact ranges, before it rounds.
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
    // The C computes the order from the low 32 bits, and makes up the rest from small blocks: as if
    // for a machine with terabytes of memory.
    let truncated = chunks > u64::from(u32::MAX) && chunks as u32 != 0;
    truncated.then_some("more than 2^32 chunks are handed out as up to 2^32 single ones")
}
