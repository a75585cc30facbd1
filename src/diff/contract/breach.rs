//! Broken promises, with the facts.

use core::fmt;
use core::ops::Range;

use crate::diff::{Block, Operation, Report, Space, format_size};
use crate::wrapper::Misuse;
use crate::{Errno, Inconsistency, KernelBug, Warning};

use super::{Accounts, Promise};

/// A broken promise. [`Display`](fmt::Display) gives a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breach {
    /// The promise.
    pub promise: Promise,
    /// The space of the allocator.
    pub space: Space,
    /// The operation that broke it; `None` for the creation, the end, a snapshot or a scan.
    pub operation: Option<Operation>,
    /// What the allocator said was free before the operation.
    pub before: Accounts,
    /// The result of the operation.
    pub outcome: Result<(), Errno>,
    /// Whether memory for the allocator's own objects ran out during the operation.
    pub faulted: bool,
    pub(in crate::diff) detail: Detail,
}

impl Breach {
    /// A breach outside of all operations.
    fn of(promise: Promise, detail: Detail, space: Space) -> Self {
        Self {
            promise,
            space,
            operation: None,
            before: Accounts::default(),
            outcome: Ok(()),
            faulted: false,
            detail,
        }
    }

    /// A panic outside of all operations.
    pub(crate) fn of_panic(message: String, space: Space) -> Self {
        Self::of(Promise::NoPanic, Detail::Panic(message), space)
    }

    /// A BUG outside of all operations.
    pub(crate) fn of_bug(bug: KernelBug, space: Space) -> Self {
        Self::of(Promise::NoBug, Detail::Bug(bug), space)
    }

    /// A misuse by a wrapper, outside of all operations.
    pub(crate) fn of_misuse(misuse: Misuse, space: Space) -> Self {
        Self::of(misuse.promise(), Detail::Misuse(misuse), space)
    }

    /// The breach of a creation during which memory ran out.
    pub(in crate::diff) fn of_creation_without_memory(
        outcome: Result<(), Errno>,
        report: &Report,
        space: Space,
    ) -> Option<Self> {
        let (promise, detail) = if let Some(bug) = report.bug {
            (Promise::NoBug, Detail::Bug(bug))
        } else if let Some(&warning) = report.warnings.first() {
            (Promise::NoWarning, Detail::Warning(warning))
        } else if report.leaked > 0 {
            (Promise::NothingLeaked, Detail::LeftByCreation(report.leaked))
        } else {
            let errno = outcome.err().filter(|&errno| errno != Errno::ENOMEM)?;
            (Promise::KnownError, Detail::WithoutMemory(errno))
        };
        Some(Self { outcome, faulted: true, ..Self::of(promise, detail, space) })
    }

    /// Whether the creation of an allocator went wrong.
    pub(in crate::diff) fn is_of_creation(&self) -> bool {
        let of_creation = matches!(self.detail, Detail::Errno(_) | Detail::Invalid(_));
        self.operation.is_none() && (self.faulted || of_creation)
    }

    /// Whether a wrapper broke a rule of the raw layer.
    pub(in crate::diff) fn is_misuse(&self) -> bool {
        matches!(self.detail, Detail::Misuse(_))
    }

    /// A wrapper's wrong error number, outside of all operations.
    pub(crate) fn of_error(outcome: Result<(), Errno>, space: Space) -> Self {
        Self { outcome, ..Self::of(Promise::KnownError, Detail::HidesNoMemory(outcome), space) }
    }

    /// The breach when a space is refused with `errno`, unless that is an invalid space and
    /// `EINVAL`.
    pub(in crate::diff) fn of_creation(errno: Errno, space: Space) -> Option<Self> {
        let promise = match errno {
            Errno::EINVAL => Promise::ValidArguments,
            Errno::ENOTRECOVERABLE => Promise::NoBug,
            // The allocator's own memory may run out, but no memory is needed to see that a space
            // is invalid.
            Errno::ENOMEM if space.is_valid() => return None,
            _ => Promise::KnownError,
        };
        Some(Self { outcome: Err(errno), ..Self::of(promise, Detail::Errno(errno), space) })
    }

    /// The breach when an allocator accepts an invalid space.
    pub(in crate::diff) fn of_accepted(space: Space) -> Option<Self> {
        let why = space.why_invalid()?;
        Some(Self::of(Promise::RefusesInvalid, Detail::Invalid(why), space))
    }
}

/// The facts. Sizes and offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diff) enum Detail {
    /// The error number is wrong by itself.
    Errno(Errno),
    Avail {
        expected: u64,
        is: u64,
    },
    ClearAvail {
        expected: u64,
        is: u64,
    },
    /// A block, and the bounds that it must respect.
    Block(Block, Range<u64>),
    /// A block that overlaps another one.
    Overlap(Block),
    /// A block that is marked clear.
    NotClear(Block),
    /// A block and a better place for it; whether that place, enlarged to the alignment of the
    /// request, is in a root that is not split.
    Place {
        block: Block,
        place: u64,
        in_whole_root: bool,
    },
    /// A run of adjacent blocks.
    Run {
        start: u64,
        end: u64,
        min_block_size: u64,
    },
    Sum {
        asked: u64,
        got: u64,
    },
    /// Objects that the teardown left behind.
    Objects(usize),
    /// Objects that a creation left behind when memory ran out.
    LeftByCreation(usize),
    /// What a creation returned when memory ran out.
    WithoutMemory(Errno),
    /// The number of allocated blocks.
    InUse(u64),
    /// Why an argument is invalid.
    Invalid(&'static str),
    Gap {
        size: u64,
        span: u64,
    },
    /// There is room at this offset; whether a single block would fit after merging.
    RoomAt {
        offset: u64,
        block: bool,
    },
    /// The number of free bytes that the request could use.
    RoomFor(u64),
    /// An empty space has room.
    Valid,
    /// The error of the same call just before.
    Before(Errno),
    /// The blocks of the allocation changed.
    Blocks,
    Lookup {
        found: Result<Option<Block>, Errno>,
        expected: Result<Option<Block>, Errno>,
    },
    /// What is wrong at an offset of a snapshot.
    At(u64, &'static str),
    Inconsistency(Inconsistency),
    /// A figure that was printed, and what it is.
    Printed {
        what: String,
        printed: u64,
        is: u64,
    },
    /// What should have been printed.
    NotPrinted(String),
    Warning(Warning),
    Bug(KernelBug),
    /// The message of a panic.
    Panic(String),
    Misuse(Misuse),
    /// What a wrapper's creation returned when the init function ran out of memory.
    HidesNoMemory(Result<(), Errno>),
}

/// The name of the promise, then the facts.
impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.promise)?;
        match (self.promise, &self.detail) {
            (Promise::ValidArguments, Detail::RoomAt { .. } | Detail::RoomFor(_)) => {
                write!(f, "EINVAL, though in the empty space {}", self.detail)
            }
            (Promise::BlockShape, Detail::Block(block, _)) => {
                let size = match block.size(self.space.chunk_size) {
                    0 => "too large".to_owned(),
                    size => format_size(size),
                };
                let offset = format_size(block.offset);
                write!(f, "a block of order {}, which is {size}, is at {offset}", block.order)
            }
            (Promise::InSpace, Detail::Block(block, space)) => {
                write!(f, "{}, beyond the end at {}", at(block), format_size(space.end))
            }
            (Promise::MinBlockSize, Detail::Run { start, end, min_block_size }) => write!(
                f,
                "the adjacent blocks at {} are not a multiple of {}, and they are not the tail",
                range(*start..*end),
                format_size(*min_block_size)
            ),
            (_, detail) => detail.fmt(f),
        }
    }
}

fn range(range: Range<u64>) -> String {
    format!("{}..{}", format_size(range.start), format_size(range.end))
}

fn at(block: &Block) -> String {
    format!("a block of order {} is at {}", block.order, format_size(block.offset))
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: &u64| format_size(*bytes);
        match self {
            Self::Errno(errno) => write!(f, "the call returned {errno}"),
            Self::Avail { expected, is } => {
                write!(f, "avail is {}, not {}", size(is), size(expected))
            }
            Self::ClearAvail { expected, is } => {
                write!(f, "clear_avail is {}, not {}", size(is), size(expected))
            }
            Self::Block(block, bounds) => {
                write!(f, "{}, outside of {}", at(block), range(bounds.clone()))
            }
            Self::Overlap(block) => write!(f, "{}, and overlaps one that is allocated", at(block)),
            Self::NotClear(block) => write!(f, "{}, marked clear, but is dirty", at(block)),
            Self::Place { block, place, .. } => {
                write!(f, "{}, though there is a place at {}", at(block), size(place))
            }
            Self::Run { start, end, min_block_size } => write!(
                f,
                "blocks are at {}, with a min_block_size of {}",
                range(*start..*end),
                size(min_block_size)
            ),
            Self::Sum { asked, got } => {
                write!(f, "the blocks add up to {}, for a size of {}", size(got), size(asked))
            }
            Self::Objects(count) => write!(f, "the teardown left {count} objects behind"),
            Self::LeftByCreation(count) => {
                write!(f, "out of memory, the init function left {count} objects behind")
            }
            Self::WithoutMemory(errno) => {
                write!(f, "out of memory, the init function returned {errno}")
            }
            Self::InUse(blocks) => write!(f, "no warning, though {blocks} blocks were allocated"),
            Self::Invalid(what) => write!(f, "the call succeeded, though {what}"),
            Self::Gap { size: sum, span } => {
                write!(f, "{} are spread over {}", size(sum), size(span))
            }
            Self::RoomAt { offset, .. } => {
                write!(f, "there is room in one piece at {}", size(offset))
            }
            Self::RoomFor(bytes) => {
                write!(f, "{} are free for the blocks of such a request", size(bytes))
            }
            Self::Valid => f.write_str("the block itself has room for the request"),
            Self::Before(errno) => write!(f, "the same call just before returned {errno}"),
            Self::Blocks => f.write_str("the blocks of the allocation changed"),
            Self::Lookup { found, expected } => {
                let text = |result: &Result<Option<Block>, Errno>| match result {
                    Ok(Some(Block { offset, order, .. })) => {
                        format!("a block of order {order} at {}", size(offset))
                    }
                    Ok(None) => "nothing".to_owned(),
                    Err(errno) => errno.to_string(),
                };
                write!(f, "found {}, not {}", text(found), text(expected))
            }
            Self::At(offset, what) => write!(f, "at {}: {what}", size(offset)),
            Self::Inconsistency(found) => write!(f, "{found}"),
            Self::Printed { what, printed, is } => {
                write!(f, "{what} is printed as {printed}, and is {is}")
            }
            Self::NotPrinted(what) => write!(f, "{what} is not printed"),
            Self::Warning(warning) => write!(f, "{warning}"),
            Self::Bug(bug) => write!(f, "{bug}"),
            Self::Panic(message) => f.write_str(message),
            Self::Misuse(misuse) => write!(f, "{misuse}"),
            Self::HidesNoMemory(outcome) => {
                f.write_str("gpu_buddy_init() returned ENOMEM, but creation ")?;
                match outcome {
                    Ok(()) => f.write_str("succeeds"),
                    Err(errno) => write!(f, "fails with {errno}"),
                }
            }
        }
    }
}
