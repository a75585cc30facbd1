//! Errors: typed, with the kernel's error number kept.

use crate::{Errno, KernelBug};

/// Why an operation did not succeed.
///
/// [`errno`](Error::errno) is the number that the C returned, or would have
/// returned where the safe API refused the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `EINVAL`: a wrong argument.
    #[error(transparent)]
    InvalidArgument(#[from] InvalidArgument),

    /// `ENOSPC`: no room that satisfies the request.
    #[error(
        "no room for {requested} bytes: {avail} bytes are free, \
         the largest free block has {largest_free_block}"
    )]
    NoSpace {
        /// Bytes asked for.
        requested: u64,
        /// Free bytes.
        avail: u64,
        /// The size of the largest free block in bytes.
        largest_free_block: u64,
    },

    /// `ENOMEM`: no memory for the allocator's own objects.
    #[error("no memory for the allocator's own objects")]
    NoMemory,

    /// `ENXIO`: outside the managed space.
    #[error("offset {offset} is outside the space of {size} bytes")]
    OutOfRange {
        /// Bytes from the start of the space.
        offset: u64,
        /// The size of the managed space in bytes.
        size: u64,
    },

    /// `ENOTRECOVERABLE`: the C hit a BUG. The allocator is unusable from here
    /// on: each call on it returns this error again, what is allocated stays
    /// allocated, and its memory is given back with the last handle, without
    /// running the C again.
    ///
    /// The BUG comes out of the C by unwinding. With `panic = "abort"`, it prints its
    /// place to the standard error and ends the process instead.
    ///
    /// In a panic hook, a BUG becomes this error as well, but it upsets the count of
    /// panics that `std` keeps for the thread:
    /// [`panicking`](std::thread::panicking) is `false` while the panic of the hook
    /// unwinds, so that a mutex is not poisoned, and it can be `true` later on.
    #[error("{0}; the allocator is unusable")]
    Bug(KernelBug),

    /// Another error number than the C is known to return.
    #[error("{0}")]
    Other(Errno),
}

impl Error {
    /// The kernel's error number.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::InvalidArgument(_) => Errno::EINVAL,
            Self::NoSpace { .. } => Errno::ENOSPC,
            Self::NoMemory => Errno::ENOMEM,
            Self::OutOfRange { .. } => Errno::ENXIO,
            Self::Bug(_) => Errno::ENOTRECOVERABLE,
            Self::Other(errno) => *errno,
        }
    }
}

/// Which argument is wrong, and what would be right. Sizes and offsets are in
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum InvalidArgument {
    /// `gpu_buddy_init`: there has to be room for one chunk.
    #[error("size {size} is smaller than the chunk size {chunk_size}")]
    SpaceTooSmall { size: u64, chunk_size: u64 },

    /// `gpu_buddy_init`: a block's header has no bits for smaller offsets.
    #[error("chunk size {chunk_size} is smaller than 4096")]
    ChunkTooSmall { chunk_size: u64 },

    /// Not checked by the C, which knows no base offset.
    #[error("base offset {base_offset} plus size {size} is beyond the last 64-bit address")]
    BaseOffsetOverflow { base_offset: u64, size: u64 },

    /// Not checked by the C, which may give any bit a meaning.
    #[error("flags {bits:#x} have no name")]
    UnknownFlags { bits: u64 },

    /// At least a chunk has to be asked for.
    #[error("size {size} is smaller than the chunk size {chunk_size}")]
    SizeTooSmall { size: u64, chunk_size: u64 },

    /// Blocks are at least a chunk.
    #[error("min_block_size {min_block_size} is smaller than the chunk size {chunk_size}")]
    MinBlockSizeTooSmall { min_block_size: u64, chunk_size: u64 },

    /// Blocks are powers of two.
    #[error("min_block_size {min_block_size} is not a power of two")]
    MinBlockSizeNotPowerOfTwo { min_block_size: u64 },

    /// Sizes are counted in chunks.
    #[error("size {size} is not a multiple of the chunk size {chunk_size}")]
    SizeNotMultiple { size: u64, chunk_size: u64 },

    /// Ranges are counted in chunks.
    #[error(
        "range {start}..{end} does not begin and end at a multiple of the chunk size {chunk_size}"
    )]
    RangeNotMultiple { start: u64, end: u64, chunk_size: u64 },

    /// The kernel's Rust binding refuses such a range before it calls the C.
    #[error("range {start}..{end} is empty")]
    RangeEmpty { start: u64, end: u64 },

    /// Ranges count from the start of the space, without the base offset.
    #[error("range {start}..{end} ends beyond the space of {size} bytes")]
    RangeBeyondSpace { start: u64, end: u64, size: u64 },

    /// From the start of the range on, the space has to be long enough.
    #[error("{requested} bytes from offset {start} on end beyond the space of {size} bytes")]
    RequestBeyondSpace { start: u64, requested: u64, size: u64 },

    /// A range as long as the request is taken exactly, so it has to be aligned.
    #[error(
        "range {start}..{end} is as long as the request, \
         but is not aligned to min_block_size {min_block_size}"
    )]
    RangeNotAligned { start: u64, end: u64, min_block_size: u64 },

    /// What is asked for is rounded up before it is looked for.
    #[error("size {requested}, rounded up to {rounded}, is more than the space of {size} bytes")]
    RoundedSizeTooLarge { requested: u64, rounded: u64, size: u64 },

    /// The C counts the chunks of one request in 32 bits. It returns `EINVAL`
    /// for some larger requests, and hands out the rest of others chunk by
    /// chunk without an end in sight; all are refused here.
    #[error("size {requested} is {chunks} chunks; one request takes fewer than 2^32")]
    TooManyChunks { requested: u64, chunks: u64 },

    /// The C rounds a contiguous request up to a power of two. Beyond 2^63
    /// there is none in 64 bits, and the C is undefined.
    #[error("size {requested} cannot be rounded up to a power of two in 64 bits")]
    NoPowerOfTwo { requested: u64 },

    /// `gpu_buddy_block_trim`: it works on a single block.
    #[error("an allocation of {blocks} blocks cannot be trimmed; it takes one of a single block")]
    TrimNotSingular { blocks: usize },

    /// `gpu_buddy_block_trim`: it cannot grow a block.
    #[error("a block of {block_size} bytes cannot be trimmed to {new_size}")]
    TrimTooLarge { new_size: u64, block_size: u64 },

    /// `gpu_buddy_block_trim`: at least a chunk is left, in whole chunks.
    #[error("new size {new_size} is not a positive multiple of the chunk size {chunk_size}")]
    TrimNotMultiple { new_size: u64, chunk_size: u64 },

    /// `gpu_buddy_block_trim`: where to begin is counted in chunks.
    #[error(
        "trimming cannot begin at {start}, which is not a multiple of the chunk size {chunk_size}"
    )]
    TrimStartNotMultiple { start: u64, chunk_size: u64 },

    /// `gpu_buddy_block_trim`: what is left lies in the block.
    #[error(
        "{new_size} bytes from offset {start} on are not inside the block \
         {block_start}..{block_end}"
    )]
    TrimOutsideBlock { start: u64, new_size: u64, block_start: u64, block_end: u64 },

    /// The C returned `EINVAL` for a reason that is not known here; the kernel
    /// that was compiled in is then newer than these checks.
    #[error("the allocator refused the arguments")]
    Unknown,
}

/// The result of an operation of the safe API.
pub type Result<T, E = Error> = core::result::Result<T, E>;
