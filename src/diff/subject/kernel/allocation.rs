//! An allocation as the C's list of blocks.

use crate::ffi;

/// An allocation of [`KernelC`](super::KernelC): the head of a list of blocks.
pub struct KernelAllocation(pub(super) Box<ffi::list_head>);

// SAFETY: the links of allocated blocks belong to this list alone, and everything else in a block
// is read under the lock of its allocator.
unsafe impl Send for KernelAllocation {}

impl KernelAllocation {
    pub(super) fn new() -> Self {
        Self(ffi::list_head::boxed())
    }

    pub(super) fn head(&mut self) -> *mut ffi::list_head {
        &raw mut *self.0
    }

    /// The links of its blocks, in order.
    pub(super) fn links(&self) -> impl Iterator<Item = *mut ffi::list_head> {
        // SAFETY: the head stays in its box, the list is well-formed, and its links belong to this
        // allocation.
        unsafe { ffi::links(&raw const *self.0) }
    }

    /// Moves a block to a list of its own.
    pub(super) fn take(&mut self, index: usize) -> Option<Self> {
        let link = self.links().nth(index)?;
        let mut taken = Self::new();
        let head = taken.head();
        // SAFETY: the link and its neighbours are links of this list, and valid; `head` is an empty
        // list. No other code uses them meanwhile, as both allocations are ours.
        unsafe {
            let (next, prev) = ((*link).next, (*link).prev);
            ((*prev).next, (*next).prev) = (next, prev);
            ((*link).next, (*link).prev) = (head, head);
            ((*head).next, (*head).prev) = (link, link);
        }
        Some(taken)
    }
}
