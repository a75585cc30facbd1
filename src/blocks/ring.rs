//! A list of blocks that may move.

use core::ptr::{self, NonNull};

use crate::ffi;

/// Allocated blocks in a circular list without a head.
///
/// A head is part of the list, so it must stay where it is; without it, the
/// list is a pointer, which may move. The C gets a head on the stack for as long
/// as it runs.
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

    /// Gives `f` a list head with the blocks behind it, and keeps what is there
    /// afterwards. Where `f` unwinds, the blocks are forgotten.
    pub fn lend<R>(&mut self, f: impl FnOnce(*mut ffi::list_head) -> R) -> R {
        let mut head = ffi::list_head { next: ptr::null_mut(), prev: ptr::null_mut() };
        let head = &raw mut head;
        let first = core::mem::replace(&mut self.first, ptr::null_mut());
        // SAFETY: `head` is a local that outlives the list below; the links of
        // allocated blocks are valid and belong to their owner, which is us.
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
        // SAFETY: the C leaves a list of allocated blocks behind the head.
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
            // SAFETY: the links of allocated blocks belong to their owner.
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

    /// Takes a block out, as a ring of its own.
    pub(super) fn take(&mut self, block: NonNull<ffi::gpu_buddy_block>) -> Self {
        let link = self.remove(block);
        // SAFETY: the block has been taken out, so its link is free for use.
        unsafe {
            (*link).next = link;
            (*link).prev = link;
        }
        Self { first: link }
    }

    fn remove(&mut self, block: NonNull<ffi::gpu_buddy_block>) -> *mut ffi::list_head {
        // SAFETY: the link is inside of the block.
        let link = unsafe { block.byte_add(ffi::LINK) }.cast::<ffi::list_head>().as_ptr();
        // SAFETY: `block` is one of this ring, whose links are valid and ours.
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
    // SAFETY: the links of a ring are inside of blocks.
    unsafe { link.byte_sub(ffi::LINK) }.cast()
}
