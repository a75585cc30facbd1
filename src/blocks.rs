//! What is allocated.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::buddy::Free;
use crate::{BlockInfo, Error, GpuBuddy, InvalidArgument, Result, ffi, tree};

/// Allocated blocks in a circular list without a head.
///
/// A head is part of the list, so it must stay where it is; without it, the
/// list is a pointer, which may move. The C gets a head on the stack for as long
/// as it runs.
pub(crate) struct Ring {
    first: *mut ffi::list_head,
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
    fn iter(&self) -> impl Iterator<Item = NonNull<ffi::gpu_buddy_block>> + use<> {
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
    fn take(&mut self, block: NonNull<ffi::gpu_buddy_block>) -> Self {
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

fn block_of(link: NonNull<ffi::list_head>) -> NonNull<ffi::gpu_buddy_block> {
    // SAFETY: the links of a ring are inside of blocks.
    unsafe { link.byte_sub(ffi::LINK) }.cast()
}

/// What one allocation got: blocks, which are freed as dirty when this is
/// dropped.
///
/// The order of the blocks is the one in which the C hands them out.
pub struct AllocatedBlocks {
    ring: Ring,
    buddy: GpuBuddy,
}

// SAFETY: the blocks belong to this value alone, and are freed under the lock of
// their allocator, which it keeps alive.
unsafe impl Send for AllocatedBlocks {}

// SAFETY: shared, the links and headers of the blocks are only read. The C writes
// neither while a block is allocated; what it does write (`tmp_link`) is another
// field, which is not read here.
unsafe impl Sync for AllocatedBlocks {}

impl AllocatedBlocks {
    /// For blocks that are still to be allocated.
    pub(crate) fn none(buddy: GpuBuddy) -> Self {
        Self { ring: Ring::empty(), buddy }
    }

    pub(crate) fn ring(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// Whether there is no block: all have been taken out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The blocks.
    pub fn iter(&self) -> Iter<'_> {
        Iter { links: self.ring.first, first: self.ring.first, blocks: self }
    }

    /// The allocator that the blocks are from.
    #[must_use]
    pub fn buddy(&self) -> &GpuBuddy {
        &self.buddy
    }

    /// The sum of the blocks' sizes in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.iter().map(|block| block.size()).sum()
    }

    /// Frees the blocks as known to be zeroed, which a later allocation with
    /// [`Clear`](crate::GpuBuddyAllocFlag::Clear) prefers.
    ///
    /// C: `gpu_buddy_free_list` with `GPU_BUDDY_CLEARED`.
    ///
    /// ```
    /// # use gpu_buddy::{Alignment, GpuBuddy, GpuBuddyAllocFlag, GpuBuddyAllocMode, GpuBuddyParams, sizes::*};
    /// # let buddy = GpuBuddy::new(GpuBuddyParams {
    /// #     base_offset: 0,
    /// #     size: SZ_1M as u64,
    /// #     chunk_size: Alignment::new::<SZ_4K>(),
    /// # })?;
    /// let alloc = || {
    ///     let min_block_size = Alignment::new::<SZ_4K>();
    ///     buddy.alloc_blocks(GpuBuddyAllocMode::Simple, SZ_64K as u64, min_block_size, GpuBuddyAllocFlag::Clear)
    /// };
    /// let blocks = alloc()?;
    /// assert!(blocks.iter().all(|block| !block.is_clear()));
    /// blocks.free_cleared();
    /// assert_eq!(buddy.clear_avail(), SZ_64K as u64);
    /// assert!(alloc()?.iter().all(|block| block.is_clear()));
    /// # Ok::<(), gpu_buddy::Error>(())
    /// ```
    pub fn free_cleared(self) {
        self.free(Free::Cleared);
    }

    /// Frees the blocks with the state that each was allocated with: what was
    /// clear then is taken to be clear still.
    ///
    /// C: `gpu_buddy_free_block`, for each block.
    pub fn free_as_allocated(self) {
        self.free(Free::AsAllocated);
    }

    /// The drop that follows finds no blocks, and drops the handle. It does so too
    /// if freeing unwinds.
    fn free(mut self, how: Free) {
        let ring = core::mem::replace(&mut self.ring, Ring::empty());
        self.buddy.free(ring, how);
    }

    /// Takes the block at position `index` out, as an allocation of its own, to
    /// be kept or freed by itself. `None` where there are not so many.
    pub fn take(&mut self, index: usize) -> Option<Self> {
        let block = self.ring.iter().nth(index)?;
        let buddy = self.buddy.clone();
        Some(Self { ring: self.ring.take(block), buddy })
    }

    /// Shrinks an allocation of a single block to `new_size` bytes, from its
    /// start or from `start`; the rest is freed, and what stays becomes as many
    /// blocks as it takes, by ascending offset. `start` counts from the start of
    /// the space, without the base offset.
    ///
    /// C: `gpu_buddy_block_trim`.
    ///
    /// # Errors
    ///
    /// In each case the allocation is as it was.
    ///
    /// - `EINVAL`: [`InvalidArgument`] says which argument, and what would be
    ///   right.
    /// - `ENOMEM`.
    pub fn trim(&mut self, start: Option<u64>, new_size: u64) -> Result<()> {
        // A BUG in the last trim has lost the block.
        if let Some(bug) = self.buddy.bug() {
            return Err(Error::Bug(bug));
        }
        let chunk_size = self.buddy.chunk_size().as_u64();
        let mut blocks = self.iter();
        let (Some(block), None) = (blocks.next(), blocks.next()) else {
            return Err(InvalidArgument::TrimNotSingular { blocks: self.iter().count() }.into());
        };
        let block_size = block.size();
        let block_start = block.offset() - self.buddy.base_offset();
        let block_end = block_start + block_size;
        if new_size > block_size {
            return Err(InvalidArgument::TrimTooLarge { new_size, block_size }.into());
        }
        if new_size == 0 || !new_size.is_multiple_of(chunk_size) {
            return Err(InvalidArgument::TrimNotMultiple { new_size, chunk_size }.into());
        }
        // The C looks at the start only where something is to be given back.
        if let Some(start) = start
            && new_size != block_size
        {
            if !start.is_multiple_of(chunk_size) && start >= block_start {
                return Err(InvalidArgument::TrimStartNotMultiple { start, chunk_size }.into());
            }
            if start < block_start || start >= block_end || new_size > block_end - start {
                let outside =
                    InvalidArgument::TrimOutsideBlock { start, new_size, block_start, block_end };
                return Err(outside.into());
            }
        }
        self.buddy.trim(&mut self.ring, start, new_size)
    }
}

impl Drop for AllocatedBlocks {
    fn drop(&mut self) {
        let ring = core::mem::replace(&mut self.ring, Ring::empty());
        if !ring.is_empty() {
            self.buddy.free(ring, Free::Dirty);
        }
    }
}

impl fmt::Debug for AllocatedBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a AllocatedBlocks {
    type Item = AllocatedBlock<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The blocks of an allocation, in the order in which they were handed out.
#[derive(Clone)]
pub struct Iter<'a> {
    links: *mut ffi::list_head,
    first: *mut ffi::list_head,
    blocks: &'a AllocatedBlocks,
}

// SAFETY: it is a shared reference to the blocks, with a position in them.
unsafe impl Send for Iter<'_> {}
// SAFETY: as above.
unsafe impl Sync for Iter<'_> {}

impl<'a> Iterator for Iter<'a> {
    type Item = AllocatedBlock<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let link = NonNull::new(self.links)?;
        // SAFETY: the links of allocated blocks belong to their owner, which is
        // borrowed.
        self.links = unsafe { (*link.as_ptr()).next };
        if self.links == self.first {
            self.links = ptr::null_mut();
        }
        Some(AllocatedBlock { block: block_of(link), buddy: &self.blocks.buddy, life: PhantomData })
    }
}

impl core::iter::FusedIterator for Iter<'_> {}

/// One block of an allocation.
#[derive(Clone, Copy)]
pub struct AllocatedBlock<'a> {
    block: NonNull<ffi::gpu_buddy_block>,
    buddy: &'a GpuBuddy,
    life: PhantomData<&'a AllocatedBlocks>,
}

// SAFETY: of an allocated block only the header is read, which the C does not
// write while the block is allocated.
unsafe impl Send for AllocatedBlock<'_> {}
// SAFETY: as above.
unsafe impl Sync for AllocatedBlock<'_> {}

impl AllocatedBlock<'_> {
    /// The block's address: its offset in the space plus the base offset.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.buddy.base_offset() + self.info().offset
    }

    /// The block's order: its size is `chunk_size << order`.
    #[must_use]
    pub fn order(&self) -> u32 {
        self.info().order
    }

    /// The block's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.buddy.chunk_size().as_u64() << self.order()
    }

    /// Whether the block was known to be zeroed when it was allocated.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.info().clear
    }

    /// The block as plain data; its offset is without the base offset.
    #[must_use]
    pub fn info(&self) -> BlockInfo {
        // SAFETY: the block is allocated for as long as it is borrowed.
        unsafe { tree::info(self.block.as_ptr()) }
    }
}

impl fmt::Debug for AllocatedBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocatedBlock")
            .field("offset", &self.offset())
            .field("size", &self.size())
            .field("order", &self.order())
            .field("is_clear", &self.is_clear())
            .finish()
    }
}
