//! The promises and their names.

use core::fmt;

macro_rules! promises {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $explanation:literal;)*) => {
        /// A promise of the documentation. [`Display`](fmt::Display) gives its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Promise {
            $(#[doc = $explanation] $variant,)*
        }

        impl Promise {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The promise as a sentence.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => $explanation,)*
                }
            }
        }
    };
}

promises! {
    NoBug, "no-bug", "No call runs into a kernel BUG.";
    NoPanic, "no-panic", "No call panics.";
    NoWarning, "no-warning", "No call raises a kernel warning.";
    KnownError, "known-error",
        "A call fails only with EINVAL, ENOSPC or ENXIO, or with ENOMEM if memory ran out.";
    ValidArguments, "valid-arguments",
        "EINVAL means that not even an empty space satisfies the arguments.";
    RefusesInvalid, "refuses-invalid",
        "Invalid spaces, sizes, alignments and ranges are refused with EINVAL.";
    Room, "room",
        "ENOSPC means that there is no room. A request that is not contiguous may be made of \
         several blocks, so that it has room wherever enough is free.";
    Repeatable, "repeatable", "The same call in the same state has the same outcome.";
    FailureChangesNothing, "failure-changes-nothing", "A call that fails changes nothing.";
    KeepsList, "keeps-list", "An allocation onto a list keeps what is on the list.";
    InSpace, "in-space", "A block lies inside the space.";
    BlockShape, "block-shape", "A block is a power of two of chunks, and aligned to its own size.";
    NoOverlap, "no-overlap", "A block does not overlap an allocated block.";
    InRange, "in-range", "With a range, each block is inside it.";
    Aligned, "aligned",
        "An allocation begins at a multiple of min_block_size, and so does each of its separate \
         parts.";
    MinBlockSize, "min-block-size",
        "Except for the trimmed tail, an allocation is made of multiples of min_block_size.";
    AddsUp, "adds-up", "The blocks add up to the size, or to the size rounded up if not trimmed.";
    Contiguous, "contiguous", "A contiguous allocation has no gap.";
    Avail, "avail", "avail is the space in whole chunks minus what is allocated.";
    ClearAvail, "clear-avail",
        "clear_avail grows by what is freed as cleared, and shrinks by what is allocated as clear. \
         It shrinks by more only if clear memory was merged with dirty memory.";
    ClearIsClear, "clear-is-clear", "A block handed out as clear was freed as cleared.";
    PrefersClear, "prefers-clear",
        "An allocation with the clear flag takes clear memory if there is some.";
    TopDown, "top-down", "A top-down allocation takes the highest place that is free.";
    ResetClear, "reset-clear", "Resetting the clear state reaches every free block.";
    Trimmed, "trimmed", "A trim leaves exactly the bytes asked for, by ascending offset.";
    BlockAt, "block-at",
        "A lookup finds the allocated block at an offset, or nothing if there is none.";
    Snapshot, "snapshot",
        "The blocks of the tree tile the space, and the allocated ones are those handed out.";
    Merged, "merged", "Two free buddies of the same clear state are merged.";
    Consistent, "consistent", "The allocator's own structures agree with each other.";
    Printed, "printed", "What an allocator prints of itself is its state.";
    NothingLeaked, "nothing-leaked",
        "After everything is freed, the whole space is free, and the teardown leaves no object \
         behind.";
    TeardownWarns, "teardown-warns", "The teardown of an allocator in use raises a warning.";
    LockHeld, "lock-held",
        "A wrapper holds the same lock in all calls on an allocator, except initialisation and \
         teardown.";
    FreedOnce, "freed-once",
        "A wrapper frees a block once, to the allocator that it came from.";
    AllocatorAlive, "allocator-alive",
        "A wrapper uses an allocator only between its initialisation and its teardown.";
    TornDown, "torn-down",
        "A wrapper tears each allocator down once, after everything in it was freed.";
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
