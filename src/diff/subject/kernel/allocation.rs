//! A list of blocks, as the C has it.

use crate::ffi;

/// An allocation of [`KernelC`](super::KernelC): the head of a list of blocks.
pub struct KernelAllocation(pub(super) Box<ffi::list_head>);

// SAFETY: the blocks on the list belong to it alone, and are touched under the lock of
// their allocator.
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
        // SAFETY: the head stays in its box, and the links of allocated blocks belong to the
        // owner of the list.
        unsafe { ffi::links(&raw const *self.0) }
    }

    /// Takes a block out, into a list of its own.
    pub(super) fn take(&mut self, index: usize) -> Option<Self> {
        let link = self.links().nth(index)?;
        let mut taken = Self::new();
        let head = taken.head();
        // SAFETY: the link is one of this list, whose links are valid and ours.
        unsafe {
            let (next, prev) = ((*link).next, (*link).prev);
            ((*prev).next, (*next).prev) = (next, prev);
            ((*link).next, (*link).prev) = (head, head);
            ((*head).next, (*head).prev) = (link, link);
        }
        Some(taken)
    }
}
