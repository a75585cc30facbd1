//! The safe API of the allocator.

mod create;
mod free;
mod inner;
mod inspect;
#[cfg(test)]
mod tests;

use core::ffi::c_int;
use core::fmt;
use core::ptr;
use std::sync::Arc;

use crate::blocks::{AllocatedBlocks, Ring};
use crate::{
    Alignment, AllocRequest, BlockInfo, Errno, Error, GpuBuddyAllocFlags, GpuBuddyAllocMode,
    Result, ffi, tree,
};

pub use free::Fini;
pub(crate) use free::Free;
use inner::Inner;

/// A handle to a GPU buddy allocator.
///
/// The allocator manages addresses, not memory: it hands out offsets. Handles and allocations share
/// it and keep it alive. A mutex guards it, so any thread may use them.
///
/// ```
/// use gpu_buddy::{
///     Alignment, GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams, sizes::*,
/// };
///
/// // 1 GiB, handed out in units of 4 KiB.
/// let buddy = GpuBuddy::new(GpuBuddyParams {
///     base_offset: 0,
///     size: SZ_1G as u64,
///     chunk_size: Alignment::new::<SZ_4K>(),
/// })?;
/// assert_eq!(buddy.avail(), buddy.size());
///
/// // In a fresh space, the top is handed out first.
/// let blocks = buddy.alloc_blocks(
///     GpuBuddyAllocMode::Simple,
///     SZ_16M as u64,
///     Alignment::new::<SZ_16M>(),
///     GpuBuddyAllocFlags::default(),
/// )?;
/// let mut iter = blocks.iter();
/// let block = iter.next().expect("one block");
/// assert_eq!(block.offset(), (SZ_1G - SZ_16M) as u64);
/// assert_eq!((block.order(), block.size()), (12, SZ_16M as u64));
/// assert!(iter.next().is_none());
/// assert_eq!(buddy.avail(), (SZ_1G - SZ_16M) as u64);
///
/// // Dropping the allocation frees it.
/// drop(iter);
/// drop(blocks);
/// assert_eq!(buddy.avail(), buddy.size());
/// # Ok::<(), gpu_buddy::Error>(())
/// ```
#[derive(Clone)]
pub struct GpuBuddy(Arc<Inner>);

impl GpuBuddy {
    /// The address, in bytes, that is added to every reported offset.
    #[must_use]
    pub fn base_offset(&self) -> u64 {
        self.0.params.base_offset
    }

    /// The smallest unit of allocation.
    #[must_use]
    pub fn chunk_size(&self) -> Alignment {
        self.0.params.chunk_size
    }

    /// The managed size in bytes: the size asked for, rounded down to a multiple of the chunk size.
    ///
    /// The kernel's own binding returns the size asked for.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.params.size
    }

    /// Free bytes. For an unusable allocator: the last value.
    #[doc(alias = "free_memory")]
    #[must_use]
    pub fn avail(&self) -> u64 {
        self.0.state.lock().mm.avail
    }

    /// Free bytes that are known to be zeroed, a part of [`avail`](Self::avail). For an unusable
    /// allocator: the last value.
    #[must_use]
    pub fn clear_avail(&self) -> u64 {
        self.0.state.lock().mm.clear_avail
    }

    /// Allocates `size` bytes as blocks of at least `min_block_size`, aligned to that. The C has
    /// exceptions: if `size` is smaller than `min_block_size`, a contiguous request and one in a
    /// range are aligned only to `size`.
    ///
    /// Without [`Contiguous`](crate::GpuBuddyAllocFlag::Contiguous), the blocks may fill several
    /// holes:
    ///
    /// ```
    /// # use gpu_buddy::{Alignment, GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams, sizes::*};
    /// # let buddy = GpuBuddy::new(GpuBuddyParams {
    /// #     base_offset: 0,
    /// #     size: SZ_1G as u64,
    /// #     chunk_size: Alignment::new::<SZ_4K>(),
    /// # })?;
    /// let range = |start: usize, end: usize| GpuBuddyAllocMode::Range(start as u64..end as u64);
    /// let alloc = |mode, size: usize| {
    ///     buddy.alloc_blocks(mode, size as u64, Alignment::new::<SZ_4M>(), GpuBuddyAllocFlags::default())
    /// };
    /// // Two allocations with a hole of 4 MiB behind each.
    /// let _first = alloc(range(0, SZ_4M), SZ_4M)?;
    /// let _second = alloc(range(SZ_8M, SZ_8M + SZ_4M), SZ_4M)?;
    ///
    /// let holes = alloc(range(0, SZ_16M), SZ_8M)?;
    /// let offsets: Vec<_> = holes.iter().map(|block| block.offset()).collect();
    /// assert_eq!(offsets, [SZ_4M as u64, (SZ_8M + SZ_4M) as u64]);
    /// # Ok::<(), gpu_buddy::Error>(())
    /// ```
    ///
    /// With it, they must fit into one:
    ///
    /// ```
    /// # use gpu_buddy::{Alignment, GpuBuddy, GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams, sizes::*};
    /// # let buddy = GpuBuddy::new(GpuBuddyParams {
    /// #     base_offset: 0,
    /// #     size: SZ_16M as u64,
    /// #     chunk_size: Alignment::new::<SZ_4K>(),
    /// # })?;
    /// # let alloc = |start: usize| {
    /// #     let range = start as u64..(start + SZ_4M) as u64;
    /// #     buddy.alloc_blocks(GpuBuddyAllocMode::Range(range), SZ_4M as u64, Alignment::new::<SZ_4M>(), GpuBuddyAllocFlags::default())
    /// # };
    /// # let _first = alloc(0)?;
    /// # let _second = alloc(SZ_8M)?;
    /// // 16 MiB with the same two holes, and no others.
    /// let result = buddy.alloc_blocks(
    ///     GpuBuddyAllocMode::Simple,
    ///     SZ_8M as u64,
    ///     Alignment::new::<SZ_4M>(),
    ///     GpuBuddyAllocFlag::Contiguous,
    /// );
    /// assert_eq!(
    ///     result.unwrap_err().to_string(),
    ///     "no room for 8388608 bytes: 8388608 bytes are free, the largest free block has 4194304",
    /// );
    /// # Ok::<(), gpu_buddy::Error>(())
    /// ```
    ///
    /// Top-down allocation takes the highest free offset:
    ///
    /// ```
    /// # use gpu_buddy::{Alignment, GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams, sizes::*};
    /// # let buddy = GpuBuddy::new(GpuBuddyParams {
    /// #     base_offset: 0,
    /// #     size: SZ_1G as u64,
    /// #     chunk_size: Alignment::new::<SZ_4K>(),
    /// # })?;
    /// let top = buddy.alloc_blocks(
    ///     GpuBuddyAllocMode::TopDown,
    ///     SZ_16M as u64,
    ///     Alignment::new::<SZ_16M>(),
    ///     GpuBuddyAllocFlags::default(),
    /// )?;
    /// let mut iter = top.iter();
    /// assert_eq!(iter.next().map(|block| block.offset()), Some((SZ_1G - SZ_16M) as u64));
    /// assert!(iter.next().is_none());
    /// # Ok::<(), gpu_buddy::Error>(())
    /// ```
    ///
    /// C: `gpu_buddy_alloc_blocks`.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: [`InvalidArgument`](crate::InvalidArgument) says which argument is wrong, and
    ///   what would be right.
    /// - `ENOSPC`: no room. Nothing was allocated, but the search may have merged clear memory with
    ///   dirty memory.
    /// - `ENOMEM`: no memory for the allocator's own objects.
    /// - `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn alloc_blocks(
        &self,
        mode: GpuBuddyAllocMode,
        size: u64,
        min_block_size: Alignment,
        flags: impl Into<GpuBuddyAllocFlags>,
    ) -> Result<AllocatedBlocks> {
        mode.check()?;
        self.alloc(&AllocRequest::new(mode, size, min_block_size.as_u64(), flags))
    }

    /// Allocates with full control over the arguments of the C function.
    ///
    /// C: `gpu_buddy_alloc_blocks`.
    ///
    /// # Errors
    ///
    /// As for [`alloc_blocks`](Self::alloc_blocks).
    pub fn alloc(&self, request: &AllocRequest) -> Result<AllocatedBlocks> {
        request.check(self.size(), self.chunk_size().as_u64())?;
        let AllocRequest { start, end, size, min_block_size, .. } = *request;
        let flags = request.bits();
        let mut blocks = AllocatedBlocks::none(self.clone());
        let mut failed = None;
        self.0.call(|mm| {
            // SAFETY: the arguments were checked, `mm` is initialised and its lock is held; `list`
            // is an empty list.
            let result = blocks.ring().lend(|list| unsafe {
                ffi::bindings::gpu_buddy_alloc_blocks(
                    mm,
                    start,
                    end,
                    size,
                    min_block_size,
                    list,
                    flags,
                )
            });
            if result != 0 {
                // SAFETY: `mm` is initialised and its lock is held.
                failed = Some(alloc_error(result, size, unsafe { &*mm }));
            }
        })?;
        failed.map_or(Ok(blocks), Err)
    }

    /// Makes every free block clear or dirty, after merging free buddies.
    ///
    /// C: `gpu_buddy_reset_clear`. It changes a tree while walking it, so it can miss blocks if
    /// there are several of one order. These keep their state.
    ///
    /// # Errors
    ///
    /// `ENOTRECOVERABLE`: the allocator is unusable after a BUG.
    pub fn reset_clear(&self, clear: bool) -> Result<()> {
        // SAFETY: `mm` is initialised and its lock is held.
        self.0.call(|mm| unsafe { ffi::bindings::gpu_buddy_reset_clear(mm, clear) })
    }

    /// The allocated block that contains `offset`, in bytes from the start of the space without the
    /// base offset; `None` if that memory is free.
    ///
    /// C: `gpu_buddy_allocated_addr_to_block`. If the kernel series has no such function, computed
    /// from the tree.
    ///
    /// # Errors
    ///
    /// `ENXIO`: the offset is outside the space. `ENOTRECOVERABLE`: the allocator is unusable after
    /// a BUG.
    pub fn block_at(&self, offset: u64) -> Result<Option<BlockInfo>> {
        let size = self.size();
        if offset >= size {
            return Err(Error::OutOfRange { offset, size });
        }
        let live = self.live_objects();
        // SAFETY: `mm` is initialised and its lock is held.
        self.0.call(|mm| unsafe { tree::block_at(mm, live, offset) })
    }

    /// Trims the only block of `ring`. The caller has checked the arguments.
    pub(crate) fn trim(&self, ring: &mut Ring, start: Option<u64>, new_size: u64) -> Result<()> {
        self.0
            .call(|mm| {
                let mut start = start;
                let start = start.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
                // SAFETY: `list` has one block of this allocator, `mm` is initialised and its lock
                // is held; `start` is null or points to a number.
                ring.lend(|list| unsafe {
                    ffi::bindings::gpu_buddy_block_trim(mm, start, new_size, list)
                })
            })
            .and_then(check)
    }
}

/// Why `size` bytes were not allocated.
#[cold]
fn alloc_error(result: c_int, size: u64, mm: &ffi::gpu_buddy) -> Error {
    match Errno::from_return(result) {
        Errno::ENOSPC => Error::NoSpace {
            requested: size,
            avail: mm.avail,
            largest_free_block: tree::largest_free_block(mm),
        },
        errno => Error::unexplained(errno),
    }
}

/// The result of a C function that returns 0 or a negative error number.
fn check(result: c_int) -> Result<()> {
    match result {
        0 => Ok(()),
        error => Err(Error::unexplained(Errno::from_return(error))),
    }
}

impl fmt::Debug for GpuBuddy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuBuddy")
            .field("params", &self.0.params)
            .field("avail", &self.avail())
            .field("clear_avail", &self.clear_avail())
            .finish_non_exhaustive()
    }
}
