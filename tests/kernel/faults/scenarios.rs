//! Calls that together reach every place where the C allocates, and what comes of each when
//! memory fails there.

/// A trace, and the outcomes of its last operation when allocations fail.
pub struct Scenario {
    pub name: &'static str,
    pub trace: &'static str,
    /// The allocations of the last operation.
    pub attempts: u64,
    /// The outcome if only the first allocation fails, only the second, and so on. `ENOSPC*4`
    /// is the same outcome four times.
    pub once: &'static str,
    /// The same if all allocations from that one on fail.
    pub always: &'static str,
}

// The outcomes. An error leaves everything as it was, unless stated.
//
// ENOMEM     As documented.
// ENOSPC     Known: enospc-hides-enomem. If a block cannot be split, the search
//            goes on, and finds nothing in the end.
// merged     An error, and clear memory has become dirty. Known:
//            enomem-merges-by-force. The search goes on to merging by force,
//            though there may be room.
// same       The same blocks as with memory: the second try found them.
// other      Other blocks with the same total size: smaller ones, or not of the
//            requested clear state although there is memory of that state.
//            Known: enomem-goes-astray.
// untrimmed  More than was asked for. Known: trim-failure-is-ignored.
pub const SCENARIOS: &[Scenario] = &[
    // The tree of free blocks.
    Scenario {
        name: "smallest block",
        trace: "space size=64K chunk=4K
                a = alloc 4K",
        attempts: 8,
        once: "ENOSPC*8",
        always: "ENOSPC*8",
    },
    // There is clear memory, but merging by force has nothing to merge.
    Scenario {
        name: "clear memory, whole",
        trace: "space size=64K chunk=4K
                a = alloc 64K
                free a cleared
                b = alloc 8K align=8K",
        attempts: 6,
        once: "ENOSPC*6",
        always: "ENOSPC*6",
    },
    Scenario {
        name: "top down",
        trace: "space size=64K chunk=4K
                a = alloc 4K topdown",
        attempts: 8,
        once: "ENOSPC*8",
        always: "ENOSPC*8",
    },
    Scenario {
        name: "block above the smallest",
        trace: "space size=64K chunk=4K
                a = alloc 32K",
        attempts: 2,
        once: "other*2",
        always: "ENOSPC*2",
    },
    Scenario {
        name: "several blocks",
        trace: "space size=64K chunk=4K
                a = alloc 28K",
        attempts: 8,
        once: "other*6 ENOSPC*2",
        always: "ENOSPC*8",
    },
    Scenario {
        name: "several roots",
        trace: "space size=60K chunk=4K
                a = alloc 16K align=16K
                b = alloc 20K",
        attempts: 2,
        once: "other*2",
        always: "ENOSPC*2",
    },
    Scenario {
        name: "clear memory",
        trace: "space size=64K chunk=4K
                a = alloc 64K start=0 end=64K
                free a cleared
                b = alloc 4K clear",
        attempts: 8,
        once: "ENOSPC*8",
        always: "ENOSPC*8",
    },
    Scenario {
        name: "clear memory where there is none",
        trace: "space size=64K chunk=4K
                a = alloc 4K clear",
        attempts: 8,
        once: "ENOSPC*8",
        always: "ENOSPC*8",
    },
    // Anywhere in a range.
    Scenario {
        name: "range",
        trace: "space size=64K chunk=4K
                a = alloc 4K range=16K..48K",
        attempts: 8,
        once: "same*8",
        always: "ENOSPC*8",
    },
    Scenario {
        name: "several blocks in a range",
        trace: "space size=64K chunk=4K
                a = alloc 24K range=4K..60K",
        attempts: 6,
        once: "same*6",
        always: "ENOSPC*6",
    },
    Scenario {
        name: "range, clear where there is none",
        trace: "space size=64K chunk=4K
                a = alloc 4K range=16K..48K clear",
        attempts: 8,
        once: "ENOSPC*8",
        always: "ENOSPC*8",
    },
    Scenario {
        name: "range, dirty rather than clear",
        trace: "space size=64K chunk=4K
                a = alloc 32K range=0..32K
                free a cleared
                b = alloc 4K range=16K..48K",
        attempts: 6,
        once: "other*6",
        always: "ENOSPC*6",
    },
    // Aligned beyond the size.
    Scenario {
        name: "aligned",
        trace: "space size=64K chunk=4K
                a = alloc 4K align=16K end=64K",
        attempts: 8,
        once: "ENOSPC*8",
        always: "ENOSPC*8",
    },
    // A range as long as the request.
    Scenario {
        name: "exact range",
        trace: "space size=64K chunk=4K
                a = alloc 24K range=20K..44K",
        attempts: 14,
        once: "ENOMEM*14",
        always: "ENOMEM*14",
    },
    Scenario {
        name: "exact range over several roots",
        trace: "space size=60K chunk=4K
                a = alloc 24K start=20K end=44K",
        attempts: 10,
        once: "ENOMEM*10",
        always: "ENOMEM*10",
    },
    Scenario {
        name: "exact range of clear and dirty memory",
        trace: "space size=64K chunk=4K
                a = alloc 12K range=20K..32K
                free a cleared
                b = alloc 40K range=4K..44K",
        attempts: 10,
        once: "ENOMEM*10",
        always: "ENOMEM*10",
    },
    // Trimming.
    Scenario {
        name: "trim",
        trace: "space size=64K chunk=4K
                a = alloc 64K
                trim a 12K",
        attempts: 8,
        once: "ENOMEM*8",
        always: "ENOMEM*8",
    },
    Scenario {
        name: "trim on both sides",
        trace: "space size=64K chunk=4K
                a = alloc 64K
                trim a 24K start=20K",
        attempts: 14,
        once: "ENOMEM*14",
        always: "ENOMEM*14",
    },
    Scenario {
        name: "trim clear memory beside its free buddy",
        trace: "space size=64K chunk=4K
                a = alloc 32K range=0..32K
                free a cleared
                b = alloc 32K clear
                trim b 12K start=8K",
        attempts: 8,
        once: "ENOMEM*8",
        always: "ENOMEM*8",
    },
    Scenario {
        name: "trim of what was rounded up",
        trace: "space size=64K chunk=4K
                a = alloc 12K contiguous",
        attempts: 8,
        once: "ENOSPC*4 untrimmed*4",
        always: "ENOSPC*4 untrimmed*4",
    },
    Scenario {
        name: "trim of the last block",
        trace: "space size=64K chunk=4K
                a = alloc 20K align=8K",
        attempts: 8,
        once: "other*4 ENOSPC*2 untrimmed*2",
        always: "ENOSPC*6 untrimmed*2",
    },
    // Contiguous, of several blocks.
    Scenario {
        name: "further to the right",
        trace: "space size=64K chunk=4K
                a = alloc 16K range=0..16K
                b = alloc 24K range=40K..64K
                c = alloc 20K contiguous",
        attempts: 2,
        once: "ENOMEM*2",
        always: "ENOMEM*2",
    },
    Scenario {
        name: "further to the left",
        trace: "space size=64K chunk=4K
                a = alloc 8K range=0..8K
                b = alloc 32K range=32K..64K
                c = alloc 20K contiguous",
        attempts: 2,
        once: "ENOMEM*2",
        always: "ENOMEM*2",
    },
    Scenario {
        name: "further down to where it is aligned",
        trace: "space size=64K chunk=4K
                a = alloc 8K range=24K..32K
                b = alloc 8K range=56K..64K
                c = alloc 20K contiguous align=64K",
        attempts: 4,
        once: "ENOMEM*4",
        always: "ENOMEM*4",
    },
    Scenario {
        name: "too large to be rounded up",
        trace: "space size=96K chunk=4K
                a = alloc 68K contiguous",
        attempts: 6,
        once: "ENOMEM*6",
        always: "ENOMEM*6",
    },
    // After merging by force.
    Scenario {
        name: "merged beyond the range",
        trace: "space size=64K chunk=4K
                a = alloc 8K range=0..8K
                free a cleared
                b = alloc 32K range=32K..64K
                c = alloc 16K align=16K range=0..24K",
        attempts: 2,
        once: "same*2",
        always: "merged*2",
    },
    Scenario {
        name: "merged for the alignment",
        trace: "space size=64K chunk=4K
                a = alloc 4K range=0..4K
                free a cleared
                b = alloc 48K range=16K..64K
                c = alloc 8K align=32K end=64K",
        attempts: 2,
        once: "merged*2",
        always: "merged*2",
    },
    Scenario {
        name: "merged without need",
        trace: "space size=64K chunk=4K
                a = alloc 4K range=32K..36K
                free a cleared
                b = alloc 8K align=16K end=64K",
        attempts: 2,
        once: "same*2",
        always: "merged*2",
    },
];
