//! Fault injection: makes the C's own memory allocations fail, for one allocator at a time.
//!
//! The names are those of the kernel's fault injection (`Documentation/fault-injection`):
//! `fail-nth`, `probability`, `interval`, `times`. Set a [`Fault`] on an allocator with
//! [`GpuBuddy::set_fault`](crate::GpuBuddy::set_fault), or on its creation with
//! [`GpuBuddy::with_fault`](crate::GpuBuddy::with_fault). It decides about each memory allocation
//! of the C there.
//!
//! To reach every place where a call can run out of memory, let its first allocation fail, then its
//! second, until none does:
//!
//! ```
//! use gpu_buddy::fault::Fault;
//! use gpu_buddy::{Alignment, Error, GpuBuddy, GpuBuddyParams, sizes::*};
//!
//! let params = GpuBuddyParams {
//!     base_offset: 0,
//!     size: SZ_16M as u64,
//!     chunk_size: Alignment::new::<SZ_4K>(),
//! };
//! for nth in 1.. {
//!     let mut fault = Fault::nth(nth);
//!     let result = GpuBuddy::with_fault(params, &mut fault);
//!     if fault.failed() == 0 {
//!         assert!(result.is_ok());
//!         break;
//!     }
//!     assert_eq!(result.unwrap_err(), Error::NoMemory);
//! }
//! ```
//!
//! # Series that do not survive it
//!
//! Before 7.3, if there is no memory to split a block, the C undoes its earlier splits by freeing a
//! block that is still in a tree of free blocks. After that, the tree is corrupt. So in a series
//! without the capability `undo_splits`, the C is stopped at the allocation that fails, injected or
//! not: the call returns [`Error::Bug`](crate::Error::Bug) with
//! [`KernelBug::OUT_OF_MEMORY`](crate::KernelBug::OUT_OF_MEMORY), and the allocator is unusable.
//! Creating an allocator is not affected. [`Fault::allow_corruption`] lets the C continue.

/// Which memory allocations of the C fail, and counts of them.
///
/// An allocation fails if all settings agree: from the [`nth`](Self::nth) on, every
/// [`interval`](Self::interval)-th, with a [`probability`](Self::probability), at most
/// [`times`](Self::times).
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    nth: u64,
    interval: u64,
    probability: f64,
    times: u64,
    allow_corruption: bool,
    random: u64,
    attempts: u64,
    failed: u64,
}

impl Fault {
    const ALWAYS: Self = Self {
        nth: 1,
        interval: 1,
        probability: 1.0,
        times: u64::MAX,
        allow_corruption: false,
        random: 0,
        attempts: 0,
        failed: 0,
    };

    /// Only the `nth` allocation from now fails, counted from 1; 0 means 1. With
    /// [`times`](Self::times), more after it fail too.
    ///
    /// Kernel: `fail-nth`.
    #[must_use]
    pub fn nth(nth: u64) -> Self {
        Self { nth: nth.max(1), times: 1, ..Self::ALWAYS }
    }

    /// Each allocation fails with a probability from 0 to 1. The same `seed` makes the same ones
    /// fail.
    ///
    /// Kernel: `probability`, which is in percent there.
    #[must_use]
    pub fn probability(probability: f64, seed: u64) -> Self {
        Self { probability, random: seed, ..Self::ALWAYS }
    }

    /// Every `interval`-th allocation fails; 0 means 1. The first is the `interval`-th from now.
    ///
    /// Kernel: `interval`.
    #[must_use]
    pub fn interval(interval: u64) -> Self {
        let interval = interval.max(1);
        Self { nth: interval, interval, ..Self::ALWAYS }
    }

    /// No allocation fails: they are only counted.
    #[must_use]
    pub fn none() -> Self {
        Self::ALWAYS.times(0)
    }

    /// At most `times` allocations fail; `u64::MAX` means no limit.
    ///
    /// Kernel: `times`, where -1 means no limit.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Lets the C continue after an injected failure that makes it corrupt its trees, to show what
    /// it does then; see [the module](self). Without effect in series that survive such a failure.
    ///
    /// # Safety
    ///
    /// After an injected failure, any further use of the allocator and its allocations may be
    /// undefined behaviour. That includes dropping them.
    #[must_use]
    pub unsafe fn allow_corruption(self) -> Self {
        Self { allow_corruption: true, ..self }
    }

    /// The number of memory allocations of the C so far.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// The number of them that were made to fail.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    pub(crate) fn allows_corruption(&self) -> bool {
        self.allow_corruption
    }

    /// Decides about the next allocation.
    pub(crate) fn should_fail(&mut self) -> bool {
        self.attempts += 1;
        let due = self.attempts >= self.nth
            && (self.attempts - self.nth).is_multiple_of(self.interval)
            && self.failed < self.times;
        let fails = due && (self.probability >= 1.0 || self.uniform() < self.probability);
        self.failed += u64::from(fails);
        fails
    }

    /// A random number from 0 to below 1, the same on every machine (SplitMix64).
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 53 bits: as many as a double holds exactly.
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    /// Which of the next `count` allocations fail, counted from 1.
    fn failing(mut fault: Fault, count: u64) -> Vec<u64> {
        let failing = (1..=count).filter(|_| fault.should_fail()).collect::<Vec<_>>();
        assert_eq!((fault.attempts(), fault.failed()), (count, failing.len() as u64));
        failing
    }

    #[test]
    fn settings_choose_the_allocations() {
        assert_eq!(failing(Fault::none(), 5), []);
        assert_eq!(failing(Fault::nth(3), 6), [3]);
        assert_eq!(failing(Fault::nth(0), 3), [1]);
        assert_eq!(failing(Fault::nth(3).times(2), 6), [3, 4]);
        assert_eq!(failing(Fault::nth(3).times(u64::MAX), 6), [3, 4, 5, 6]);
        assert_eq!(failing(Fault::interval(2), 7), [2, 4, 6]);
        assert_eq!(failing(Fault::interval(0).times(2), 7), [1, 2]);
        assert_eq!(failing(Fault::probability(0.0, 1), 100), []);
        assert_eq!(failing(Fault::probability(1.0, 1), 3), [1, 2, 3]);
    }

    #[test]
    fn probability_is_kept_and_repeats() {
        let once = failing(Fault::probability(0.25, 7), 10_000);
        assert!((2_300..2_700).contains(&once.len()), "{}", once.len());
        assert_eq!(once, failing(Fault::probability(0.25, 7), 10_000));
        assert_ne!(once, failing(Fault::probability(0.25, 8), 10_000));
    }

    /// The published first numbers of SplitMix64 for seed 0.
    #[test]
    fn chance_is_that_of_splitmix64() {
        let mut fault = Fault::probability(0.5, 0);
        for bits in [0xe220_a839_7b1d_cdafu64, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f] {
            assert_eq!(fault.uniform(), (bits >> 11) as f64 / (1u64 << 53) as f64);
        }
        assert_eq!(failing(Fault::probability(0.5, 0), 5), [2, 3, 5]);
    }
}
