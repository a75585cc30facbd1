//! A promise that was broken, with the facts.

use core::fmt;
use core::ops::Range;

use crate::diff::{Block, Operation, Space};
use crate::{Errno, Inconsistency, KernelBug, Warning};

use super::{Accounts, Promise};

/// A promise that was broken. [`Display`](fmt::Display) gives a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breach {
    /// The promise.
    pub promise: Promise,
    /// The space of the allocator.
    pub space: Space,
    /// The operation that broke it; `None` at the beginning, at the end and in
    /// what is read from a snapshot or a scan.
    pub operation: Option<Operation>,
    /// What the allocator said to be free before it.
    pub before: Accounts,
    /// How the operation went.
    pub outcome: Result<(), Errno>,
    /// Whether memory for the allocator's own objects ran out in it.
    pub faulted: bool,
    pub(in crate::diff) detail: Detail,
}

impl Breach {
    /// A panic in no operation that can be named.
    pub(in crate::diff) fn of_panic(message: String, space: Space) -> Self {
        Self {
            promise: Promise::NoPanic,
            space,
            operation: None,
            before: Accounts::default(),
            outcome: Ok(()),
            faulted: false,
            detail: Detail::Panic(message),
        }
    }

    /// What is wrong with an error number that a valid space was refused with.
    pub(in crate::diff) fn of_creation(errno: Errno, space: Space) -> Option<Self> {
        let promise = match errno {
            Errno::EINVAL => Promise::ValidArguments,
            Errno::ENOTRECOVERABLE => Promise::NoBug,
            // The allocator's own memory may run out.
            Errno::ENOMEM => return None,
            _ => Promise::KnownError,
        };
        Some(Self {
            promise,
            space,
            operation: None,
            before: Accounts::default(),
            outcome: Err(errno),
            faulted: false,
            detail: Detail::Errno(errno),
        })
    }
}

/// The facts. Sizes and offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diff) enum Detail {
    /// The outcome says it all.
    Errno(Errno),
    Avail {
        expected: u64,
        is: u64,
    },
    ClearAvail {
        expected: u64,
        is: u64,
    },
    /// A block, and the bounds that it should respect.
    Block(Block, Range<u64>),
    /// A block that overlaps another one.
    Overlap(Block),
    /// A block that is said to be clear.
    NotClear(Block),
    /// A block and another place for it.
    Place {
        block: Block,
        place: u64,
    },
    /// A run of blocks and its end.
    Run {
        start: u64,
        end: u64,
        min_block_size: u64,
    },
    Sum {
        asked: u64,
        got: u64,
    },
    /// Objects that are left behind.
    Objects(usize),
    /// Blocks were allocated.
    InUse(u64),
    /// An argument that makes no sense.
    Invalid(&'static str),
    Gap {
        size: u64,
        span: u64,
    },
    /// There is room at this offset; in a single block, if it were merged.
    RoomAt {
        offset: u64,
        block: bool,
    },
    /// There are this many bytes of room.
    RoomFor(u64),
    /// An empty space has room.
    Valid,
    /// The first time, the outcome was this.
    Before(Errno),
    /// The blocks changed.
    Blocks,
    Lookup {
        found: Result<Option<Block>, Errno>,
        expected: Result<Option<Block>, Errno>,
    },
    /// In a snapshot: what is wrong at an offset.
    At(u64, &'static str),
    Inconsistency(Inconsistency),
    Warning(Warning),
    Bug(KernelBug),
    /// What the panic said.
    Panic(String),
}

/// The name of the promise, then the facts.
impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.detail)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => write!(f, "the call returned {errno}"),
            Self::Avail { expected, is } => write!(f, "avail is {is}, not {expected}"),
            Self::ClearAvail { expected, is } => write!(f, "clear_avail is {is}, not {expected}"),
            Self::Block(block, bounds) => write!(
                f,
                "a block of order {} is at {}, with bounds {}..{}",
                block.order, block.offset, bounds.start, bounds.end
            ),
            Self::Overlap(block) => {
                write!(f, "the block of order {} at {} overlaps one", block.order, block.offset)
            }
            Self::NotClear(block) => {
                write!(f, "the block of order {} at {} is not clear", block.order, block.offset)
            }
            Self::Place { block, place } => write!(
                f,
                "a block of order {} is at {}, though there is a place at {place}",
                block.order, block.offset
            ),
            Self::Run { start, end, min_block_size } => {
                write!(f, "blocks are at {start}..{end}, with a min_block_size of {min_block_size}")
            }
            Self::Sum { asked, got } => write!(f, "{got} bytes were given for {asked}"),
            Self::Objects(count) => write!(f, "the teardown left {count} objects behind"),
            Self::InUse(blocks) => write!(f, "no warning, though {blocks} blocks were allocated"),
            Self::Invalid(what) => write!(f, "the call succeeded, though {what}"),
            Self::Gap { size, span } => write!(f, "{size} bytes are spread over {span}"),
            Self::RoomAt { offset, .. } => write!(f, "there is room at {offset}"),
            Self::RoomFor(bytes) => write!(f, "there is room for {bytes} bytes"),
            Self::Valid => f.write_str("an empty space has room for the request"),
            Self::Before(errno) => write!(f, "the call just before returned {errno}"),
            Self::Blocks => f.write_str("the blocks of the allocation changed"),
            Self::Lookup { found, expected } => {
                let text = |result: &Result<Option<Block>, Errno>| match result {
                    Ok(Some(block)) => {
                        format!("a block of order {} at {}", block.order, block.offset)
                    }
                    Ok(None) => "nothing".to_owned(),
                    Err(errno) => errno.to_string(),
                };
                write!(f, "found {}, not {}", text(found), text(expected))
            }
            Self::At(offset, what) => write!(f, "at {offset}: {what}"),
            Self::Inconsistency(found) => write!(f, "{found}"),
            Self::Warning(warning) => write!(f, "{warning}"),
            Self::Bug(bug) => write!(f, "{bug}"),
            Self::Panic(message) => f.write_str(message),
        }
    }
}
