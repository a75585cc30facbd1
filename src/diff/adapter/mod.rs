//! Allocators that hand out one run of units at a time, made comparable.
//!
//! Most allocators know nothing of chunks, blocks and error numbers: they give `n` units
//! in a row, and take them back. For those, three functions are enough:
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
//! What else an allocator is like is said by the constants and the other functions of
//! [`RunAllocator`]:
//!
//! | the allocator | say |
//! | --- | --- |
//! | has smaller units than the space has chunks, or aligns every run to a fixed number of units | [`UNITS_PER_CHUNK`](RunAllocator::UNITS_PER_CHUNK) |
//! | is a buddy allocator: powers of two only, each aligned to its size | [`IS_BUDDY`](RunAllocator::IS_BUDDY) |
//! | takes an alignment | [`ALIGNS`](RunAllocator::ALIGNS), [`get_aligned`](RunAllocator::get_aligned) |
//! | rounds sizes up | [`size_class`](RunAllocator::size_class) |
//! | takes back a part of a run | [`TAKES_PARTS`](RunAllocator::TAKES_PARTS) |
//! | counts what is free | [`free_units`](RunAllocator::free_units) |
//! | works through `&self` | nothing: `&mut self` gives a `&self` |
//! | gives pointers to real memory | implement [`HeapAllocator`], and use `Runs<Heap<A>>` |
//!
//! What does not fit (ranges, clear memory, placement from the top) is for
//! [`Implementation`](super::Implementation) itself.

mod heap;
mod runs;

use super::torture::{self, Options, Report};
use super::{Comparison, Settings};

pub use heap::{Heap, HeapAllocator};
pub use runs::{Run, Runs};

/// An allocator that hands out one run of units at a time. [`Runs`] makes an
/// [`Implementation`](super::Implementation) of it.
///
/// Units are counted from 0, the start of the space. None of the functions is called with
/// 0 units.
pub trait RunAllocator: Sized {
    /// How many units one chunk of the space has: a power of two, up to 4096. Every run that
    /// is asked for is a multiple of it, and must start at a multiple of it.
    ///
    /// More than 1 for an allocator with small units, such as bytes with a least size, and
    /// for one that aligns each run to a fixed number of units.
    const UNITS_PER_CHUNK: u64 = 1;

    /// Whether this is a buddy allocator: [`get`](Self::get) is called with powers of two
    /// only, and must return a multiple of what it was asked for.
    ///
    /// It is then asked for aligned runs, which must be found if there are any. Any other
    /// allocator is asked for contiguous runs of all sizes, which must be found as well.
    const IS_BUDDY: bool = false;

    /// Whether [`get_aligned`](Self::get_aligned) aligns. Then aligned runs are asked for too.
    const ALIGNS: bool = false;

    /// Whether [`put`](Self::put) takes a part of a run. Then single blocks are freed, and
    /// blocks trimmed.
    const TAKES_PARTS: bool = false;

    /// A new allocator of so many units, all free; `None` if it cannot have so many, which
    /// is counted but is no failure.
    fn new(units: u64) -> Option<Self>;

    /// Takes a run of so many units. Returns its first unit; `None` if there is no such
    /// run.
    fn get(&mut self, units: u64) -> Option<u64>;

    /// Takes a run whose first unit is a multiple of `align`, a power of two. `units` is a
    /// multiple of it. Called only if [`ALIGNS`](Self::ALIGNS) or
    /// [`IS_BUDDY`](Self::IS_BUDDY) says so; a buddy allocator's runs are aligned anyway.
    fn get_aligned(&mut self, units: u64, _align: u64) -> Option<u64> {
        self.get(units)
    }

    /// Gives a run back, or a part of one if [`TAKES_PARTS`](Self::TAKES_PARTS) says so.
    fn put(&mut self, start: u64, units: u64);

    /// The largest size of at most `units` that is handed out as it is, without being
    /// rounded up. Only such sizes are asked for, so that nothing is lost by rounding. Must
    /// not fall below one chunk, and is not called if [`IS_BUDDY`](Self::IS_BUDDY).
    ///
    /// An allocator with size classes gives the class here, in which a run of that size or
    /// more is sure to be found.
    #[must_use]
    fn size_class(units: u64) -> u64 {
        units
    }

    /// How many units are free by the allocator's own count, if it has one. Checked after
    /// every call.
    fn free_units(&self) -> Option<u64> {
        None
    }
}

/// Holds every call of an allocator against the contract. For tests.
///
/// It is not compared with the kernel block for block, as it has its own way of placing.
/// Whoever wants more of that passes [`Runs`] to [`torture::check`], with another
/// [`Comparison`].
///
/// # Panics
///
/// As [`torture::check`], with a short trace.
#[track_caller]
pub fn check<A: RunAllocator + 'static>(options: &Options) -> Report {
    let settings = Settings { comparison: Comparison::Contract, ..options.settings };
    torture::check::<Runs<A>>(&Options { settings, ..options.clone() })
}
