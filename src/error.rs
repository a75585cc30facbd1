//! Typed errors that keep the kernel's error number.

use crate::{Errno, KernelBug};

/// Why an operation did not succeed.
///
/// [`errno`](Error::errno) is the number that the C returned, or would have returned if the safe
/// API had not refused the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `EINVAL`: an invalid argument.
    #[error(transparent)]
    InvalidArgument(#[from] InvalidArgument),

    /// `ENOSPC`: no room that satisfies the request.
    #[error(
        "no room for {requested} bytes: {avail} bytes are free, \
         the largest free block has {largest_free_block}"
    )]
    NoSpace {
        /// The requested size in bytes.
        requested: u64,
        /// Free bytes.
        avail: u64,
        /// The size of the largest free block in bytes.
        largest_free_block: u64,
    },

    /// `ENOMEM`: no memory for the allocator's own objects.
    #[error("no memory for the allocator's own objects")]
    NoMemory,

    /// `ENXIO`: an offset outside the managed space.
    #[error("offset {offset} is outside the space of {size} bytes")]
    OutOfRange {
        /// The offset in bytes from the start of the space.
        offset: u64,
        /// The size of the managed space in bytes.
        size: u64,
    },

    /// `ENOTRECOVERABLE`: the C ran into a BUG. The allocator is unusable from then on: each call
    /// returns this error, allocations stay allocated, and the memory is freed with the last
    /// handle, without running the C.
    ///
    /// The BUG unwinds out of the C. With `panic = "abort"`, it instead prints its place to
    /// standard error and ends the process.
    ///
    /// A BUG inside a panic hook becomes this error too, but confuses the thread's panic count in
    /// `std`: [`panicking`](std::thread::panicking) is `false` while the hook's panic unwinds, so a
    /// mutex is not poisoned, and it can be `true` later.
    #[error("{0}; the allocator is unusable")]
    Bug(KernelBug),

    /// An error number that the C is not known to return.
    #[error("{0}")]
    Other(Errno),
}

impl Error {
    /// The error for a number, without further facts.
    pub(crate) fn unexplained(errno: Errno) -> Self {
        match errno {
            Errno::EINVAL => InvalidArgument::Unknown.into(),
            Errno::ENOMEM => Self::NoMemory,
            errno => Self::Other(errno),
        }
    }

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

/// Which argument is invalid, and what would be valid. Sizes and offsets are in bytes. The C
/// function that checks it is `gpu_buddy_alloc_blocks`, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum InvalidArgument {
    /// `gpu_buddy_init`: the space must have room for one chunk.
    #[error("size {size} is smaller than the chunk size {chunk_size}")]
    SpaceTooSmall { size: u64, chunk_size: u64 },

    /// `gpu_buddy_init`: a block's header uses the low 12 bits of the offset.
    #[error("chunk size {chunk_size} is smaller than 4096")]
    ChunkTooSmall { chunk_size: u64 },

    /// Not checked by the C, which has no base offset.
    #[error("base offset {base_offset} plus size {size} is beyond the last 64-bit address")]
    BaseOffsetOverflow { base_offset: u64, size: u64 },

    /// Not checked by the C. A kernel may give any bit a meaning.
    #[error("flags {bits:#x} are unknown")]
    UnknownFlags { bits: u64 },

    /// A request is at least one chunk.
    #[error("size {size} is smaller than the chunk size {chunk_size}")]
    SizeTooSmall { size: u64, chunk_size: u64 },

    /// A block is at least one chunk.
    #[error("min_block_size {min_block_size} is smaller than the chunk size {chunk_size}")]
    MinBlockSizeTooSmall { min_block_size: u64, chunk_size: u64 },

    /// A block is a power of two.
    #[error("min_block_size {min_block_size} is not a power of two")]
    MinBlockSizeNotPowerOfTwo { min_block_size: u64 },

    /// A size is a number of chunks.
    #[error("size {size} is not a multiple of the chunk size {chunk_size}")]
    SizeNotMultiple { size: u64, chunk_size: u64 },

    /// Both bounds of a range are multiples of the chunk size.
    #[error(
        "range {start}..{end} does not begin and end at a multiple of the chunk size {chunk_size}"
    )]
    RangeNotMultiple { start: u64, end: u64, chunk_size: u64 },

    /// Not checked by the C. The kernel's Rust binding refuses an empty range before it calls the
    /// C.
    #[error("range {start}..{end} is empty")]
    RangeEmpty { start: u64, end: u64 },

    /// A range is in bytes from the start of the space, without the base offset.
    #[error("range {start}..{end} ends beyond the space of {size} bytes")]
    RangeBeyondSpace { start: u64, end: u64, size: u64 },

    /// There must be room for the request between the start of the range and the end of the space.
    #[error("{requested} bytes from offset {start} on end beyond the space of {size} bytes")]
    RequestBeyondSpace { start: u64, requested: u64, size: u64 },

    /// A range as long as the request is allocated exactly, so both its ends must be aligned.
    #[error(
        "range {start}..{end} is as long as the request, \
         but is not aligned to min_block_size {min_block_size}"
    )]
    RangeNotAligned { start: u64, end: u64, min_block_size: u64 },

    /// The C rounds the size up before it searches.
    #[error("size {requested}, rounded up to {rounded}, is more than the space of {size} bytes")]
    RoundedSizeTooLarge { requested: u64, rounded: u64, size: u64 },

    /// The C counts the chunks of a request in 32 bits. It refuses some larger requests with
    /// `EINVAL`, and answers others with up to 2^32 single chunks. All are refused here.
    #[error("size {requested} is {chunks} chunks; a request must have fewer than 2^32")]
    TooManyChunks { requested: u64, chunks: u64 },

    /// The C rounds a contiguous request up to a power of two. Above 2^63 the result does not fit
    /// into 64 bits, and is undefined.
    #[error("size {requested} cannot be rounded up to a power of two in 64 bits")]
    NoPowerOfTwo { requested: u64 },

    /// `gpu_buddy_block_trim`: it trims a single block.
    #[error("an allocation of {blocks} blocks cannot be trimmed; only one of a single block can")]
    TrimNotSingular { blocks: usize },

    /// `gpu_buddy_block_trim`: it cannot grow a block.
    #[error("a block of {block_size} bytes cannot be trimmed to {new_size}")]
    TrimTooLarge { new_size: u64, block_size: u64 },

    /// `gpu_buddy_block_trim`: the new size is at least one chunk, and a multiple of the chunk
    /// size.
    #[error("new size {new_size} is not a positive multiple of the chunk size {chunk_size}")]
    TrimNotMultiple { new_size: u64, chunk_size: u64 },

    /// `gpu_buddy_block_trim`: the start is a multiple of the chunk size.
    #[error(
        "trimming cannot begin at {start}, which is not a multiple of the chunk size {chunk_size}"
    )]
    TrimStartNotMultiple { start: u64, chunk_size: u64 },

    /// `gpu_buddy_block_trim`: the new part is inside the block.
    #[error(
        "{new_size} bytes from offset {start} on are not inside the block \
         {block_start}..{block_end}"
    )]
    TrimOutsideBlock { start: u64, new_size: u64, block_start: u64, block_end: u64 },

    /// The C returned `EINVAL` for an unknown reason: the compiled-in kernel is newer than these
    /// checks.
    #[error("the allocator refused the arguments")]
    Unknown,
}

/// The result of an operation of the safe API.
pub type Result<T, E = Error> = core::result::Result<T, E>;
