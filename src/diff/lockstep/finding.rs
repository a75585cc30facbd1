//! What can be wrong.

use core::fmt;

use crate::Errno;
use crate::diff::known::KnownBreach;
use crate::diff::{Breach, Outcome, Promise, Space};

/// The first difference between two implementations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Divergence {
    /// In what they differ.
    pub aspect: Aspect,
    /// What the implementation under test says.
    pub subject: String,
    /// What the reference says.
    pub reference: String,
    /// Between two kernels: the promises that only the one under test breaks here.
    pub new: Vec<Promise>,
    /// Between two kernels: the promises that only the reference breaks here.
    pub fixed: Vec<Promise>,
}

/// In what two implementations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aspect {
    /// Whether there can be an allocator of the space.
    Creation,
    /// Success, or the error number; or what a lookup found.
    Outcome,
    /// The blocks of an allocation.
    Blocks,
    /// Free bytes.
    Avail,
    /// Free bytes known to be zeroed.
    ClearAvail,
    /// Whether it ran into a kernel BUG.
    Bug,
    /// The warnings that were raised.
    Warnings,
    /// The objects that the teardown left behind.
    Leaked,
    /// The tree.
    Snapshot,
    /// What the call cost: more than twice as much as it cost the base, and more than
    /// [`cost::FLOOR`](crate::diff::cost::FLOOR), or of the teardown
    /// [`cost::FLOOR_OF_FINI`](crate::diff::cost::FLOOR_OF_FINI).
    Cost,
}

impl Aspect {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::Outcome => "outcome",
            Self::Blocks => "blocks",
            Self::Avail => "avail",
            Self::ClearAvail => "clear_avail",
            Self::Bug => "BUG",
            Self::Warnings => "warnings",
            Self::Leaked => "leaked objects",
            Self::Snapshot => "tree",
            Self::Cost => "cost",
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aspect = self.aspect.name();
        write!(f, "divergence in {aspect}: {}, the reference: {}", self.subject, self.reference)?;
        for (who, promises) in [("this", &self.new), ("the reference", &self.fixed)] {
            if !promises.is_empty() {
                write!(f, "; {who} breaks {}", names(promises))?;
            }
        }
        Ok(())
    }
}

fn names(promises: &[Promise]) -> String {
    promises.iter().map(|promise| promise.name()).collect::<Vec<_>>().join(", ")
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The two differ.
    Divergence(Divergence),
    /// The one under test broke a promise.
    Breach(Breach),
}

impl Finding {
    /// Whether another finding is of the same kind: the same aspect, or the same
    /// promise.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Divergence(a), Self::Divergence(b)) => a.aspect == b.aspect,
            (Self::Breach(a), Self::Breach(b)) => a.promise == b.promise,
            _ => false,
        }
    }

    /// The name of its kind: of the promise, or of the aspect.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Divergence(divergence) => divergence.aspect.name(),
            Self::Breach(breach) => breach.promise.name(),
        }
    }

    /// The two differ in this.
    pub(in crate::diff) fn divergence(
        aspect: Aspect,
        subject: impl ToString,
        reference: impl ToString,
    ) -> Self {
        let (subject, reference) = (subject.to_string(), reference.to_string());
        let (new, fixed) = (Vec::new(), Vec::new());
        Self::Divergence(Divergence { aspect, subject, reference, new, fixed })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divergence(divergence) => divergence.fmt(f),
            Self::Breach(breach) => breach.fmt(f),
        }
    }
}

/// What came of one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// What the implementation under test did.
    pub outcome: Outcome,
    /// What the reference did, if it was asked.
    pub reference: Option<Outcome>,
    /// What is wrong. Whoever goes on after a divergence compares two different
    /// states.
    pub findings: Vec<Finding>,
    /// Breaches that the C is known for.
    pub known: Vec<&'static KnownBreach>,
    /// Between two kernels: what both break in this call.
    pub in_base: Vec<Promise>,
    /// Between two kernels: what only the one under test breaks.
    pub new: Vec<Promise>,
    /// Between two kernels: what only the reference breaks.
    pub fixed: Vec<Promise>,
}

impl Step {
    pub(super) fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            reference: None,
            findings: Vec::new(),
            known: Vec::new(),
            in_base: Vec::new(),
            new: Vec::new(),
            fixed: Vec::new(),
        }
    }

    pub(super) fn diverge(
        &mut self,
        aspect: Aspect,
        subject: impl ToString,
        reference: impl ToString,
    ) {
        self.findings.push(Finding::divergence(aspect, subject, reference));
    }
}

/// Why there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// The space is none that an allocator can have: the error number that both gave.
    Refused(Errno),
    /// The implementation under test does not do such spaces: it returned `EOPNOTSUPP`.
    Declined,
    /// Only one of the two refused it, or it was refused for no good reason.
    Finding(Box<Finding>),
}

impl NotCreated {
    pub(super) fn refused(errno: Errno, space: Space) -> Self {
        let Space { size, chunk_size, base } = space;
        let valid = chunk_size.is_power_of_two()
            && chunk_size >= 4096
            && size >= chunk_size
            && base.checked_add(size).is_some();
        if errno == Errno::EINVAL && !valid {
            return Self::Refused(errno);
        }
        match Breach::of_creation(errno, space) {
            Some(breach) => Self::Finding(Box::new(Finding::Breach(breach))),
            None => Self::Refused(errno),
        }
    }
}

impl fmt::Display for NotCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "no allocator has such a space: {errno}"),
            Self::Declined => f.write_str("the implementation does not support such a space"),
            Self::Finding(finding) => finding.fmt(f),
        }
    }
}

impl core::error::Error for NotCreated {}
