//! Allocated blocks.

mod block;
mod ring;

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::buddy::Free;
use crate::request::check_trim;
use crate::{Error, GpuBuddy, InvalidArgument, Result, ffi};

pub use block::AllocatedBlock;
pub(crate) use ring::Ring;
use ring::block_of;

/// The blocks of one allocation. Dropping this frees them as dirty.
///
/// The blocks are in the order in which the C returned them.
pub struct AllocatedBlocks {
    ring: Ring,
    buddy: GpuBuddy,
}

// SAFETY: the blocks belong to this value alone. They are freed under the lock of their allocator,
// which this value keeps alive.
unsafe impl Send for AllocatedBlocks {}

// SAFETY: a shared reference only reads the links and headers of the blocks. The C writes neither
// while a block is allocated; it does write `tmp_link`, which is not read here.
unsafe impl Sync for AllocatedBlocks {}

impl AllocatedBlocks {
    /// Without blocks, to be filled by an allocation.
    pub(crate) fn none(buddy: GpuBuddy) -> Self {
        Self { ring: Ring::empty(), buddy }
    }

    pub(crate) fn ring(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// Whether there is no block, because all were taken out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The blocks.
    pub fn iter(&self) -> Iter<'_> {
        Iter { links: self.ring.first, first: self.ring.first, blocks: self }
    }

    /// The allocator of the blocks.
    #[must_use]
    pub fn buddy(&self) -> &GpuBuddy {
        &self.buddy
    }

    /// The sum of the blocks' sizes in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.iter().map(|block| block.size()).sum()
    }

    /// Frees the blocks as zeroed. Later allocations with
    /// [`Clear`](crate::GpuBuddyAllocFlag::Clear) prefer such memory.
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

    /// Frees each block in the clear state that it had when it was allocated. Only right if nothing
    /// was written to it.
    ///
    /// C: `gpu_buddy_free_block`, for each block.
    pub fn free_as_allocated(self) {
        self.free(Free::AsAllocated);
    }

    /// The drop that follows finds no blocks and drops the handle, even if freeing unwinds.
    fn free(mut self, how: Free) {
        let ring = core::mem::replace(&mut self.ring, Ring::empty());
        self.buddy.free(ring, how);
    }

    /// Moves the block at position `index` to an allocation of its own. `None` if there is no such
    /// block.
    pub fn take(&mut self, index: usize) -> Option<Self> {
        let block = self.ring.iter().nth(index)?;
        let buddy = self.buddy.clone();
        Some(Self { ring: self.ring.take(block), buddy })
    }

    /// Shrinks an allocation of a single block to `new_size` bytes from `start`, or from the start
    /// of the block, and frees the rest. The remaining part may be several blocks, by ascending
    /// offset. `start` is in bytes from the start of the space, without the base offset.
    ///
    /// C: `gpu_buddy_block_trim`.
    ///
    /// # Errors
    ///
    /// The allocation does not change.
    ///
    /// - `EINVAL`: [`InvalidArgument`] says which argument is wrong, and what would be right.
    /// - `ENOMEM`: no memory for the allocator's own objects.
    /// - `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn trim(&mut self, start: Option<u64>, new_size: u64) -> Result<()> {
        // A BUG in an earlier trim lost the block.
        if let Some(bug) = self.buddy.bug() {
            return Err(Error::Bug(bug));
        }
        let chunk_size = self.buddy.chunk_size().as_u64();
        let mut blocks = self.iter();
        let (Some(block), None) = (blocks.next(), blocks.next()) else {
            return Err(InvalidArgument::TrimNotSingular { blocks: self.iter().count() }.into());
        };
        let block_start = block.offset() - self.buddy.base_offset();
        let block = block_start..block_start + block.size();
        check_trim(block, chunk_size, start, new_size)?;
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

/// Iterates over the blocks of an allocation, in the order in which the C returned them.
#[derive(Clone)]
pub struct Iter<'a> {
    links: *mut ffi::list_head,
    first: *mut ffi::list_head,
    blocks: &'a AllocatedBlocks,
}

// SAFETY: it is a shared reference to the blocks, and a position in them.
unsafe impl Send for Iter<'_> {}
// SAFETY: as above.
unsafe impl Sync for Iter<'_> {}

impl<'a> Iterator for Iter<'a> {
    type Item = AllocatedBlock<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let link = NonNull::new(self.links)?;
        // SAFETY: the link is one of an allocated block, and belongs to the `AllocatedBlocks` that
        // is borrowed.
        self.links = unsafe { (*link.as_ptr()).next };
        if self.links == self.first {
            self.links = ptr::null_mut();
        }
        Some(AllocatedBlock { block: block_of(link), buddy: &self.blocks.buddy, life: PhantomData })
    }
}

impl core::iter::FusedIterator for Iter<'_> {}
