//! Known breaches of the C.
//!
//! Each entry matches only what it explains, so that it does not hide another breach of the same
//! promise.

mod list;

use crate::module::Features;
use crate::{AllocRequest, GpuBuddyAllocFlag};

use super::contract::Detail;
use super::{Breach, Operation, Promise, Space};

pub use list::KNOWN;

/// A known breach of the C. Each has a page with a minimal trace in `docs/findings/`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KnownBreach {
    /// Its name, and that of its page.
    pub name: &'static str,
    /// The promises that it breaks; its trace shows the first.
    pub promises: &'static [Promise],
    /// What goes wrong, and when, as a sentence.
    pub sentence: &'static str,
    /// The kernels that show it.
    pub kernels: Kernels,
    applies: fn(&Case) -> bool,
}

/// The kernels that show a breach, by feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernels {
    /// All that support such a call.
    All,
    /// Those with this feature.
    With(&'static str),
    /// Those without this feature.
    Without(&'static str),
}

impl Kernels {
    /// Whether a kernel with these features is among them.
    #[must_use]
    pub fn include(self, features: Features) -> bool {
        match self {
            Self::All => true,
            Self::With(name) => features.has(name),
            Self::Without(name) => !features.has(name),
        }
    }
}

/// An operation that broke a promise, with its properties.
struct Case<'a> {
    broken: &'a Breach,
    /// The request; empty for other operations.
    request: &'a AllocRequest,
    contiguous: bool,
    clear: bool,
    /// `start..end` is as long as the request, so the C takes it exactly.
    exact: bool,
    /// The C searches a single block of this size at aligned offsets, and does not round it up.
    offset_aligned: bool,
}

impl Case<'_> {
    /// The range does not span the whole space.
    fn has_bounds(&self) -> bool {
        (self.request.start, self.request.end) != (0, self.broken.space.size)
    }

    /// The C refuses the range, with the flag or without.
    fn has_wrong_bounds(&self) -> bool {
        let AllocRequest { start, end, size, .. } = *self.request;
        let Space { size: space, chunk_size, .. } = self.broken.space;
        self.exact
            || !(start | end).is_multiple_of(chunk_size)
            || end > space
            || start.checked_add(size).is_none_or(|end| end > space)
    }

    /// There was clear memory to merge.
    fn has_clear(&self) -> bool {
        self.broken.before.clear_avail > 0
    }

    /// The size in bytes of the single block for a contiguous allocation.
    fn rounded(&self) -> Option<u64> {
        self.request.size.checked_next_power_of_two()
    }

    /// The size in chunks after rounding up.
    fn chunks(&self) -> u64 {
        let AllocRequest { size, min_block_size, .. } = *self.request;
        let keeps_size = size < min_block_size && size.is_power_of_two();
        let rounded = if self.contiguous {
            self.rounded()
        } else if keeps_size {
            Some(size)
        } else {
            size.checked_next_multiple_of(min_block_size)
        };
        rounded.unwrap_or(size) / self.broken.space.chunk_size
    }

    /// There would be a block of the rounded size after merging.
    fn has_whole_block(&self) -> bool {
        matches!(self.broken.detail, Detail::RoomAt { block: true, .. })
    }
}

/// The entry for a breach by a kernel with these features, if there is one.
#[must_use]
pub fn known(broken: &Breach, kernel: Features) -> Option<&'static KnownBreach> {
    let empty = AllocRequest::default();
    let request = match &broken.operation {
        Some(Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. }) => request,
        _ => &empty,
    };
    let case = Case {
        broken,
        request,
        contiguous: request.flags.contains(GpuBuddyAllocFlag::Contiguous),
        clear: request.flags.contains(GpuBuddyAllocFlag::Clear),
        exact: request.start.checked_add(request.size) == Some(request.end),
        offset_aligned: !request.flags.contains(GpuBuddyAllocFlag::Contiguous)
            && request.size < request.min_block_size
            && request.size.is_power_of_two(),
    };
    KNOWN.iter().find(|known| {
        known.promises.contains(&broken.promise)
            && known.kernels.include(kernel)
            && (known.applies)(&case)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;
    use crate::diff::Accounts;
    use crate::sizes::{SZ_1M, SZ_4K, SZ_16K};

    /// Room that a contiguous request did not find, in a single block or not.
    fn missed(range: bool, block: bool) -> Breach {
        let request = AllocRequest {
            end: SZ_1M as u64,
            size: SZ_16K as u64,
            min_block_size: SZ_4K as u64,
            range,
            flags: GpuBuddyAllocFlag::Contiguous.into(),
            ..AllocRequest::default()
        };
        Breach {
            promise: Promise::Room,
            space: Space::new(SZ_1M as u64, SZ_4K as u64),
            operation: Some(Operation::Alloc { id: 0, request }),
            before: Accounts { avail: SZ_1M as u64, clear_avail: 0 },
            outcome: Err(Errno::ENOSPC),
            faulted: false,
            detail: Detail::RoomAt { offset: 0, block },
        }
    }

    /// A run of several blocks may be missed, a single block may not.
    #[test]
    fn a_whole_block_that_is_missed_is_not_known() {
        let name = |broken| known(&broken, Features::ALL).map(|known| known.name);
        assert_eq!(name(missed(false, false)), Some("try-harder-misses-run"));
        assert_eq!(name(missed(true, false)), Some("contiguous-range-rounds-up"));
        assert_eq!(name(missed(false, true)), None);
        assert_eq!(name(missed(true, true)), None);
    }

    /// Some blocks may be missed, but not all, and the counter must not be wrong.
    #[test]
    fn a_reset_that_reaches_nothing_is_not_known() {
        let (chunk, avail) = (SZ_4K as u64, SZ_1M as u64);
        let is_known = |clear, clear_avail, is| {
            let broken = Breach {
                promise: Promise::ResetClear,
                operation: Some(Operation::ResetClear { clear }),
                before: Accounts { avail, clear_avail },
                outcome: Ok(()),
                detail: Detail::ClearAvail { expected: if clear { avail } else { 0 }, is },
                ..missed(false, false)
            };
            known(&broken, Features::ALL).is_some()
        };
        assert!(is_known(true, 0, chunk));
        assert!(is_known(true, 4 * chunk, 2 * chunk), "merging made some dirty first");
        assert!(!is_known(true, 0, 0));
        assert!(!is_known(true, 0, avail + chunk));
        assert!(!is_known(true, 0, chunk + 1));
        assert!(is_known(false, 4 * chunk, chunk));
        assert!(!is_known(false, 4 * chunk, 4 * chunk));
        assert!(!is_known(false, 4 * chunk, 5 * chunk));
    }
}
