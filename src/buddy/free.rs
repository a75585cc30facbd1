//! Frees blocks, and tears the allocator down.

use std::sync::Arc;

use crate::blocks::Ring;
use crate::{GpuBuddy, KernelBug, Warning, ffi};

impl GpuBuddy {
    /// Frees blocks.
    pub(crate) fn free(&self, ring: Ring, how: Free) {
        // An unusable allocator keeps its blocks; its arena owns their memory.
        let _ = self.0.call(|mm| how.run(mm, ring));
    }

    /// Tears the allocator down and returns what the C reported. Dropping the last handle would
    /// only log it.
    ///
    /// C: `gpu_buddy_fini`.
    ///
    /// # Errors
    ///
    /// The handle itself, if other handles or allocations are alive.
    pub fn fini(mut self) -> Result<Fini, Self> {
        let Some(inner) = Arc::get_mut(&mut self.0) else {
            return Err(self);
        };
        let mut state = inner.state.lock();
        let pending = state.finish(&inner.map);
        let fini = Fini {
            warnings: core::mem::take(&mut state.warnings),
            bug: state.bug,
            leaked_objects: if state.bug.is_some() { 0 } else { state.arena.live() },
        };
        drop(state);
        pending.log();
        Ok(fini)
    }
}

/// How blocks are freed.
#[derive(Clone, Copy)]
pub(crate) enum Free {
    Dirty,
    Cleared,
    /// In the state that each block was allocated with.
    AsAllocated,
}

impl Free {
    /// Requires that `mm` is initialised, its lock is held, and the blocks are its own.
    fn run(self, mm: *mut ffi::gpu_buddy, mut ring: Ring) {
        match self {
            Self::Dirty => {
                // SAFETY: the caller holds the lock of `mm`, which owns the blocks; the C empties
                // the list.
                ring.lend(|list| unsafe { ffi::bindings::gpu_buddy_free_list(mm, list, 0) })
            }
            Self::Cleared => ring.lend(|list| {
                // The flag is bit 4, so it fits into 32 bits.
                let flags = ffi::GPU_BUDDY_CLEARED as core::ffi::c_uint;
                // SAFETY: as above.
                unsafe { ffi::bindings::gpu_buddy_free_list(mm, list, flags) }
            }),
            Self::AsAllocated => {
                while let Some(block) = ring.pop() {
                    // SAFETY: the block is allocated, of this `mm`, and on no list any more.
                    unsafe { ffi::bindings::gpu_buddy_free_block(mm, block.as_ptr()) };
                }
            }
        }
    }
}

/// The result of [`GpuBuddy::fini`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fini {
    /// All warnings of the allocator, including those of the teardown; at most 256.
    pub warnings: Vec<Warning>,
    /// The BUG that made the allocator unusable. Then nothing was torn down.
    pub bug: Option<KernelBug>,
    /// The number of objects that the C left behind; 0 unless the C has a bug.
    pub leaked_objects: usize,
}
