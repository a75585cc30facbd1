//! Giving back: blocks, and the allocator.

use std::sync::Arc;

use crate::blocks::Ring;
use crate::{GpuBuddy, KernelBug, Warning, ffi};

impl GpuBuddy {
    /// Gives blocks back to the C.
    pub(crate) fn free(&self, ring: Ring, how: Free) {
        // An unusable allocator keeps what is allocated; its arena owns it.
        let _ = self.0.call(|mm| how.run(mm, ring));
    }

    /// Tears the allocator down and reports how that went, where dropping the
    /// last handle could only log it.
    ///
    /// C: `gpu_buddy_fini`.
    ///
    /// # Errors
    ///
    /// The handle itself, where other handles or allocations are alive.
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
    /// With the state that each block was allocated with.
    AsAllocated,
}

impl Free {
    /// `mm` is initialised and its lock is held; the blocks are its own.
    fn run(self, mm: *mut ffi::gpu_buddy, mut ring: Ring) {
        match self {
            // SAFETY: as the caller says; the C empties the list.
            Self::Dirty => ring.lend(|list| unsafe { ffi::gpu_buddy_free_list(mm, list, 0) }),
            Self::Cleared => ring.lend(|list| {
                // The flag is bit 4, far inside of the 32 that are passed.
                let flags = ffi::GPU_BUDDY_CLEARED as core::ffi::c_uint;
                // SAFETY: as above.
                unsafe { ffi::gpu_buddy_free_list(mm, list, flags) }
            }),
            Self::AsAllocated => {
                while let Some(block) = ring.pop() {
                    // SAFETY: the block is allocated, and in no list any more.
                    unsafe { ffi::gpu_buddy_free_block(mm, block.as_ptr()) };
                }
            }
        }
    }
}

/// What [`GpuBuddy::fini`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fini {
    /// All warnings of the allocator's life, those of the end among them.
    pub warnings: Vec<Warning>,
    /// The BUG that made the allocator unusable; nothing was torn down then.
    pub bug: Option<KernelBug>,
    /// Objects that the C left behind; 0 unless something is wrong with it.
    pub leaked_objects: usize,
}
