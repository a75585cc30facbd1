//! Creates an allocator.

use std::sync::Arc;

use super::inner::{self, Inner};
use super::{GpuBuddy, check};
use crate::fault::Fault;
use crate::runtime::Event;
use crate::{GpuBuddyParams, Result, ffi};

impl GpuBuddy {
    /// Creates an allocator. All of its space is free and dirty.
    ///
    /// C: `gpu_buddy_init`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the chunk size is below 4 KiB, the size is below the chunk
    ///   size, or `base_offset + size` does not fit in 64 bits.
    /// - `ENOMEM`: no memory for the allocator's own objects.
    /// - `ENOTRECOVERABLE`: the C ran into a BUG.
    pub fn new(params: GpuBuddyParams) -> Result<Self> {
        Self::init(params, None)
    }

    /// Like [`new`](Self::new), but `fault` decides which memory allocations of `gpu_buddy_init`
    /// fail. Afterwards `fault` has the counts, whether or not creation succeeded. The new
    /// allocator has no fault set.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with_fault(params: GpuBuddyParams, fault: &mut Fault) -> Result<Self> {
        Self::init(params, Some(fault))
    }

    fn init(params: GpuBuddyParams, fault: Option<&mut Fault>) -> Result<Self> {
        let (size, chunk) = (params.size, params.chunk_size.as_u64());
        let params = params.checked()?;
        inner::load_module()?;
        let inner = Arc::new(Inner::new(params, fault.as_deref().cloned()));
        let mut state = inner.state.lock();
        // SAFETY: `mm` is zeroed, has a fixed address in the `Arc`, and its lock is held.
        let init = |mm| unsafe { ffi::bindings::gpu_buddy_init(mm, size, chunk) };
        let (result, mut pending) = state.call(&inner.map, init);
        if let (Some(fault), Some(counted)) = (fault, state.arena.set_fault(None)) {
            *fault = counted;
        }
        match result {
            Ok(0) => {
                state.arena.initialised(cfg!(undo_splits));
                state.finished = false;
                #[cfg(lockdep)]
                if cfg!(debug_assertions) {
                    state.mm.lock_dep_map = (&raw const inner.map).cast_mut();
                }
            }
            Ok(_) if state.arena.live() != 0 => {
                let text = format!("gpu_buddy_init left {} objects", state.arena.live());
                pending.push(Event::Failure(text));
            }
            _ => {}
        }
        drop(state);
        // If this unwinds, dropping `inner` tears the allocator down.
        pending.log();
        check(result?)?;
        Ok(Self(inner))
    }
}
