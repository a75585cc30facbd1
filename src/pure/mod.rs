//! The kernel's allocator in safe Rust, without the C.
//!
//! [`PureBuddy`] hands out the same blocks as the newest kernel series does, in the same order, and
//! returns the same error numbers. It has the interface of [`GpuBuddy`](crate::GpuBuddy), contains
//! no `unsafe`, and calls no C. It is the [reference model](crate::diff::reference) that the tests
//! compare the C with, behind a mutex.
//!
//! ```
//! use gpu_buddy::{
//!     Alignment, GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams,
//!     PureBuddy, sizes::*,
//! };
//!
//! // 1 GiB, handed out in units of 4 KiB.
//! let buddy = PureBuddy::new(GpuBuddyParams {
//!     base_offset: 0,
//!     size: SZ_1G as u64,
//!     chunk_size: Alignment::new::<SZ_4K>(),
//! })?;
//!
//! // 20 KiB anywhere: a block of 16 KiB, and one of 4 KiB.
//! let min_block_size = Alignment::new::<SZ_4K>();
//! let none = GpuBuddyAllocFlags::default();
//! let blocks = buddy.alloc_blocks(GpuBuddyAllocMode::Simple, 20 << 10, min_block_size, none)?;
//! let sizes: Vec<_> = blocks.iter().map(|block| block.size()).collect();
//! assert_eq!(sizes, [16 << 10, 4 << 10]);
//!
//! // 1 MiB in one run below 256 MiB.
//! let mode = GpuBuddyAllocMode::Range(0..SZ_256M as u64);
//! let flags = GpuBuddyAllocFlag::Contiguous;
//! let run = buddy.alloc_blocks(mode, SZ_1M as u64, min_block_size, flags)?;
//! assert_eq!(run.iter().next().map(|block| block.offset()), Some(0));
//!
//! // Dropping an allocation frees it.
//! drop((blocks, run));
//! assert_eq!(buddy.avail(), buddy.size());
//! # Ok::<(), gpu_buddy::Error>(())
//! ```
//!
//! # Which one to take
//!
//! | | [`GpuBuddy`](crate::GpuBuddy) | [`PureBuddy`] |
//! | --- | --- | --- |
//! | runs | the C of a kernel | Rust |
//! | makes the choices of | the series that is compiled in | the newest series |
//! | a kernel BUG | is an error, and the allocator is unusable | cannot happen |
//! | memory for its own objects | can fail, also on request: [`fault`](crate::fault) | aborts the process if it runs out, as `Vec` does |
//! | [`reset_clear`](PureBuddy::reset_clear) | misses blocks, as the C does | reaches all |
//! | what the C logs and prints | is available | does not exist |
//!
//! So take `GpuBuddy` to test or to study the kernel's code, and `PureBuddy` to allocate. Building
//! the crate needs the kernel's files in both cases.
//!
//! # Cost
//!
//! A block that is allocated or freed takes a few memory accesses, whatever the number of blocks.
//! The allocator's own memory is proportional to what is used of the space: at most 4 KiB and a
//! little for every 4096 chunks that have had a block, so a space of 2^63 bytes is no problem.

#![forbid(unsafe_code)]

mod blocks;
mod implementation;

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::diff::reference::Reference;
use crate::diff::{Implementation, Space};
use crate::{
    Alignment, AllocRequest, BlockInfo, BlockState, Errno, Error, GpuBuddyAllocFlags,
    GpuBuddyAllocMode, GpuBuddyParams, OrderStatistics, Result, Snapshot,
};

pub use blocks::{Block, Blocks, Iter};

/// A handle to an allocator in safe Rust that makes the kernel's choices.
///
/// The allocator manages addresses, not memory: it hands out offsets. Handles and allocations share
/// it and keep it alive. A mutex guards it, so any thread may use them. The [module](self) has an
/// example, and says when to take it instead of [`GpuBuddy`](crate::GpuBuddy).
#[derive(Clone)]
pub struct PureBuddy(Arc<Inner>);

struct Inner {
    params: GpuBuddyParams,
    state: Mutex<Reference>,
}

impl PureBuddy {
    /// Creates an allocator. All of its space is free and dirty.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the chunk size is below 4 KiB, the size is below the chunk size, or
    /// `base_offset + size` does not fit in 64 bits.
    pub fn new(params: GpuBuddyParams) -> Result<Self> {
        let params = params.checked()?;
        let space = Space::new(params.size, params.chunk_size.as_u64());
        let state = Reference::create(space).map_err(Error::unexplained)?;
        Ok(Self(Arc::new(Inner { params, state: Mutex::new(state) })))
    }

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
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.params.size
    }

    /// Free bytes.
    #[must_use]
    pub fn avail(&self) -> u64 {
        self.0.state.lock().avail()
    }

    /// Free bytes that are known to be zeroed, a part of [`avail`](Self::avail).
    #[must_use]
    pub fn clear_avail(&self) -> u64 {
        self.0.state.lock().clear_avail()
    }

    /// Allocates `size` bytes as blocks of at least `min_block_size`, aligned to that. As in the
    /// kernel, there are exceptions: if `size` is smaller than `min_block_size`, a contiguous request
    /// and one in a range are aligned only to `size`.
    ///
    /// [`GpuBuddy::alloc_blocks`](crate::GpuBuddy::alloc_blocks) has examples of the modes and flags.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: [`InvalidArgument`](crate::InvalidArgument) says which argument is wrong, and
    ///   what would be right.
    /// - `ENOSPC`: no room. Nothing was allocated, but the search may have merged clear memory with
    ///   dirty memory.
    pub fn alloc_blocks(
        &self,
        mode: GpuBuddyAllocMode,
        size: u64,
        min_block_size: Alignment,
        flags: impl Into<GpuBuddyAllocFlags>,
    ) -> Result<Blocks> {
        mode.check()?;
        self.alloc(&AllocRequest::new(mode, size, min_block_size.as_u64(), flags))
    }

    /// Allocates with full control over the arguments of the kernel's function.
    ///
    /// # Errors
    ///
    /// As for [`alloc_blocks`](Self::alloc_blocks).
    pub fn alloc(&self, request: &AllocRequest) -> Result<Blocks> {
        let mut state = self.0.state.lock();
        // A request for one block is checked there.
        let one = if request.extra_flags == 0 { state.alloc_one(request) } else { None };
        let blocks = match one {
            Some(block) => block,
            None => {
                request.check_for(self.size(), self.chunk_size().as_u64(), true)?;
                state.alloc(request).map_err(|errno| match errno {
                    Errno::ENOSPC => Error::NoSpace {
                        requested: request.size,
                        avail: state.avail(),
                        largest_free_block: state.largest_free_block(),
                    },
                    errno => Error::unexplained(errno),
                })?
            }
        };
        drop(state);
        Ok(Blocks::new(self.clone(), blocks))
    }

    /// Makes every free block clear or dirty, after merging free buddies.
    pub fn reset_clear(&self, clear: bool) {
        self.0.state.lock().reset_clear(clear);
    }

    /// The allocated block that contains `offset`, in bytes from the start of the space without the
    /// base offset; `None` if that memory is free.
    ///
    /// # Errors
    ///
    /// `ENXIO`: the offset is outside the space.
    pub fn block_at(&self, offset: u64) -> Result<Option<BlockInfo>> {
        let size = self.size();
        let found = self.0.state.lock().block_at(offset);
        match found {
            Ok(block) => Ok(block.map(allocated)),
            Err(_) => Err(Error::OutOfRange { offset, size }),
        }
    }

    /// The number of blocks of each order, from order 0 up.
    #[must_use]
    pub fn statistics(&self) -> Vec<OrderStatistics> {
        self.snapshot().statistics()
    }

    /// The size of the largest free block in bytes; 0 if nothing is free.
    #[must_use]
    pub fn largest_free_block(&self) -> u64 {
        self.0.state.lock().largest_free_block()
    }

    /// The longest run of free bytes, in bytes from the start of the space without the base offset.
    /// It may span several free blocks. Empty if nothing is free.
    #[must_use]
    pub fn longest_free_run(&self) -> Range<u64> {
        self.snapshot().longest_free_run()
    }

    /// The whole tree as plain data.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.state.lock().tree()
    }
}

/// A block as the rest of the crate describes it.
fn allocated(crate::diff::Block { offset, order, clear }: crate::diff::Block) -> BlockInfo {
    BlockInfo { offset, order, state: BlockState::Allocated, clear }
}

impl fmt::Debug for PureBuddy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PureBuddy")
            .field("params", &self.0.params)
            .field("avail", &self.avail())
            .field("clear_avail", &self.clear_avail())
            .finish_non_exhaustive()
    }
}
