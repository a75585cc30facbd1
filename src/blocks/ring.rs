//! A movable list of blocks.

use core::ptr::{self, NonNull};

use crate::ffi;

/// Allocated blocks in a circular list without a head.
///
/// The blocks link to the head of a list, so it must not move. A ring without a head is only a
/// pointer, which may move. A call of the C gets a head on the stack.
pub(crate) struct Ring {
    pub(super) first: *mut ffi::list_head,
}

impl Ring {
    pub const fn empty() -> Self {
        Self { first: ptr::null_mut() }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Calls `f` with a list head in front of the blocks, and keeps the blocks that are on the list
    /// afterwards. If `f` unwinds, the blocks are leaked.
    #[inline]
    pub fn lend<R>(&mut self, f: impl FnOnce(*mut ffi::list_head) -> R) -> R {
        let mut head = ffi::list_head { next: ptr::null_mut(), prev: ptr::null_mut() };
        let head = &raw mut head;
        let first = core::mem::replace(&mut self.first, ptr::null_mut());
        // SAFETY: `head` is a local that outlives its use in the list; the links of allocated
        // blocks are valid and belong to this ring.
        unsafe {
            if first.is_null() {
                (*head).next = head;
                (*head).prev = head;
            } else {
                let last = (*first).prev;
                (*head).next = first;
                (*head).prev = last;
                (*first).prev = head;
                (*last).next = head;
            }
        }
        let result = f(head);
        // SAFETY: the C leaves a well-formed list of allocated blocks behind `head`, which is still
        // alive.
        unsafe {
            let (first, last) = ((*head).next, (*head).prev);
            if first != head {
                (*first).prev = last;
                (*last).next = first;
                self.first = first;
            }
        }
        result
    }

    /// The blocks, from the first on.
    pub(super) fn iter(&self) -> impl Iterator<Item = NonNull<ffi::gpu_buddy_block>> + use<> {
        let first = self.first;
        let mut next = first;
        core::iter::from_fn(move || {
            let link = NonNull::new(next)?;
            // SAFETY: `link` is one of an allocated block, which belongs to this ring.
            next = unsafe { (*link.as_ptr()).next };
            if next == first {
                next = ptr::null_mut();
            }
            Some(block_of(link))
        })
    }

    /// Takes the first block out.
    pub fn pop(&mut self) -> Option<NonNull<ffi::gpu_buddy_block>> {
        let block = self.iter().next()?;
        self.remove(block);
        Some(block)
    }

    /// Moves a block to a ring of its own.
    pub(super) fn take(&mut self, block: NonNull<ffi::gpu_buddy_block>) -> Self {
        let link = self.remove(block);
        // SAFETY: the block was just removed, so nothing else uses its link.
        unsafe {
            (*link).next = link;
            (*link).prev = link;
        }
        Self { first: link }
    }

    fn remove(&mut self, block: NonNull<ffi::gpu_buddy_block>) -> *mut ffi::list_head {
        // SAFETY: `LINK` is the offset of a field, so the result is inside the block.
        let link = unsafe { block.byte_add(ffi::LINK) }.cast::<ffi::list_head>().as_ptr();
        // SAFETY: `block` is in this ring. Its link and those of its neighbours are valid and
        // belong to the ring.
        unsafe {
            let (next, prev) = ((*link).next, (*link).prev);
            if next == link {
                self.first = ptr::null_mut();
            } else {
                (*prev).next = next;
                (*next).prev = prev;
                if self.first == link {
                    self.first = next;
                }
            }
        }
        link
    }
}

pub(super) fn block_of(link: NonNull<ffi::list_head>) -> NonNull<ffi::gpu_buddy_block> {
    // SAFETY: a link of a ring is at offset `LINK` of its block.
    unsafe { link.byte_sub(ffi::LINK) }.cast()
}
