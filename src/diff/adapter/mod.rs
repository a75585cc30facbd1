//! Makes allocators that return one run of units per call comparable.
//!
//! Most allocators have no chunks, blocks or error numbers: they return `n` units in a row, and
//! free them. For these, three functions are enough:
//!
//! ```
//! use gpu_buddy::diff::adapter::{self, RunAllocator};
//! use gpu_buddy::diff::torture::Options;
//!
//! /// First fit over a flag for each unit.
//! struct FirstFit(Vec<bool>);
//!
//! impl RunAllocator for FirstFit {
//!     fn new(units: u64) -> Option<Self> {
//!         // Larger spaces are counted as not supported.
//!         (units <= 1 << 16).then(|| Self(vec![false; units as usize]))
//!     }
//!
//!     fn get(&mut self, units: u64) -> Option<u64> {
//!         let start = self.0.windows(units as usize).position(|run| !run.contains(&true))?;
//!         self.0[start..][..units as usize].fill(true);
//!         Some(start as u64)
//!     }
//!
//!     fn put(&mut self, start: u64, units: u64) {
//!         self.0[start as usize..][..units as usize].fill(false);
//!     }
//! }
//!
//! // In a test:
//! let report = adapter::check::<FirstFit>(&Options { operations: 20_000, ..Options::default() });
//! println!("{report}");
//! ```
//!
//! The constants and other functions of [`RunAllocator`] describe further properties:
//!
//! | the allocator | use |
//! | --- | --- |
//! | has smaller units than the space has chunks, or aligns every run to a fixed number of units | [`UNITS_PER_CHUNK`](RunAllocator::UNITS_PER_CHUNK) |
//! | is a buddy allocator: powers of two only, each aligned to its size | [`IS_BUDDY`](RunAllocator::IS_BUDDY) |
//! | takes an alignment | [`ALIGNS`](RunAllocator::ALIGNS), [`get_aligned`](RunAllocator::get_aligned) |
//! | rounds sizes up | [`size_class`](RunAllocator::size_class) |
//! | can free a part of a run | [`TAKES_PARTS`](RunAllocator::TAKES_PARTS) |
//! | counts free units | [`free_units`](RunAllocator::free_units) |
//! | works through `&self` | nothing: `&mut self` gives a `&self` |
//! | returns pointers to real memory | implement [`HeapAllocator`], and use `Runs<Heap<A>>` |
//!
//! For ranges, clear memory, and placement from the top, implement
//! [`Implementation`](super::Implementation) itself.

mod heap;
mod runs;

use super::torture::{self, Options, Report};
use super::{Comparison, Settings};

pub use heap::{Heap, HeapAllocator};
pub use runs::{Run, Runs};

/// An allocator that returns one run of units per call. [`Runs`] makes it an
/// [`Implementation`](super::Implementation).
///
/// Units count from 0, the start of the space. No function is called with 0 units.
pub trait RunAllocator: Sized + 'static {
    /// The number of units in a chunk of the space: a power of two, up to 4096. Every requested run
    /// is a multiple of it, and must start at a multiple of it.
    ///
    /// Use more than 1 for an allocator with small units, such as bytes with a minimum size, and
    /// for one that aligns each run to a fixed number of units.
    const UNITS_PER_CHUNK: u64 = 1;

    /// Whether this is a buddy allocator: [`get`](Self::get) is called only with powers of two, and
    /// must return a multiple of the number of units.
    ///
    /// Then aligned runs are requested, and must be found if there are any. From any other
    /// allocator, contiguous runs of all sizes are requested, and must be found too.
    const IS_BUDDY: bool = false;

    /// Whether [`get_aligned`](Self::get_aligned) aligns. Then aligned runs are requested too.
    const ALIGNS: bool = false;

    /// Whether [`put`](Self::put) can free a part of a run. Then single blocks are freed, and
    /// blocks are trimmed.
    const TAKES_PARTS: bool = false;

    /// Creates an allocator of `units` units, all free; `None` if that size is not supported, which
    /// is counted but is not a failure.
    fn new(units: u64) -> Option<Self>;

    /// Allocates a run of `units` units. Returns its first unit; `None` if there is no such run.
    fn get(&mut self, units: u64) -> Option<u64>;

    /// Allocates a run whose first unit is a multiple of `align`, a power of two. `units` is a
    /// multiple of it. Called only with [`ALIGNS`](Self::ALIGNS) or [`IS_BUDDY`](Self::IS_BUDDY); a
    /// buddy allocator's runs are aligned anyway.
    fn get_aligned(&mut self, units: u64, _align: u64) -> Option<u64> {
        self.get(units)
    }

    /// Frees a run, or with [`TAKES_PARTS`](Self::TAKES_PARTS) a part of one.
    fn put(&mut self, start: u64, units: u64);

    /// The largest size up to `units` that is allocated without being rounded up. Only such sizes
    /// are requested, so that nothing is lost by rounding. At least one chunk. Not called with
    /// [`IS_BUDDY`](Self::IS_BUDDY).
    ///
    /// An allocator with size classes returns the class in which a run of that size or more is
    /// certainly found.
    #[must_use]
    fn size_class(units: u64) -> u64 {
        units
    }

    /// The number of free units, if the allocator counts them. Checked after every call.
    fn free_units(&self) -> Option<u64> {
        None
    }
}

/// Checks every call of an allocator against the contract. For tests.
///
/// The allocator has its own placement, so it is not compared with the kernel block for block. To
/// compare more, pass [`Runs`] to [`torture::check`] with another [`Comparison`].
///
/// # Panics
///
/// As [`torture::check`].
#[track_caller]
pub fn check<A: RunAllocator + 'static>(options: &Options) -> Report {
    let settings = Settings { comparison: Comparison::Contract, ..options.settings };
    torture::check::<Runs<A>>(&Options { settings, ..options.clone() })
}
