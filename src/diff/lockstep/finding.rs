//! Findings: divergences and breaches.

use core::fmt;

use crate::Errno;
use crate::diff::known::KnownBreach;
use crate::diff::{Breach, Outcome, Promise, Space};

/// The first difference between two implementations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Divergence {
    /// What differs.
    pub aspect: Aspect,
    /// The value of the implementation under test.
    pub subject: String,
    /// The value of the reference.
    pub reference: String,
    /// Between two kernels: the promises that only the one under test breaks here.
    pub new: Vec<Promise>,
    /// Between two kernels: the promises that only the reference breaks here.
    pub fixed: Vec<Promise>,
}

/// What differs between two implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aspect {
    /// Whether an allocator of the space could be created.
    Creation,
    /// Success or the error number; or the result of a lookup.
    Outcome,
    /// The blocks of an allocation.
    Blocks,
    /// Free bytes.
    Avail,
    /// Free bytes that are known to be zeroed.
    ClearAvail,
    /// Whether the call ran into a kernel BUG.
    Bug,
    /// The warnings that were raised.
    Warnings,
    /// The objects that the teardown left behind.
    Leaked,
    /// The tree of blocks.
    Snapshot,
    /// The cost of the call: more than twice that of the base, and more than
    /// [`cost::FLOOR`](crate::diff::cost::FLOOR), or in a teardown
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

/// A difference or a broken promise.
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

    /// The name of its kind: that of the promise or of the aspect.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Divergence(divergence) => divergence.aspect.name(),
            Self::Breach(breach) => breach.promise.name(),
        }
    }

    /// A divergence in `aspect`.
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

/// The result of one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The outcome of the implementation under test.
    pub outcome: Outcome,
    /// The outcome of the reference, if it did the operation.
    pub reference: Option<Outcome>,
    /// Divergences and breaches. After a divergence the two states differ, so later comparisons
    /// mean little.
    pub findings: Vec<Finding>,
    /// Breaches that are known of this kernel.
    pub known: Vec<&'static KnownBreach>,
    /// Between two kernels: the promises that both break in this call.
    pub in_base: Vec<Promise>,
    /// Between two kernels: the promises that only the one under test breaks.
    pub new: Vec<Promise>,
    /// Between two kernels: the promises that only the reference breaks.
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
    /// The space is not [valid](Space::is_valid), or memory ran out. This is the error number, the
    /// same from both.
    Refused(Errno),
    /// The implementation under test does not support the space: it returned `EOPNOTSUPP`.
    Declined,
    /// Only one of the two refused it, a valid space was refused, or an invalid one was accepted.
    Finding(Box<Finding>),
}

impl NotCreated {
    /// The space is invalid, and an allocator accepted it.
    pub(super) fn accepted(space: Space) -> Self {
        match Breach::of_accepted(space) {
            Some(breach) => Self::Finding(Box::new(Finding::Breach(breach))),
            None => Self::Refused(Errno::EINVAL),
        }
    }

    pub(super) fn refused(errno: Errno, space: Space) -> Self {
        let valid = space.is_valid() && space.base.checked_add(space.size).is_some();
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
            Self::Refused(errno) => write!(f, "no allocator can manage such a space: {errno}"),
            Self::Declined => f.write_str("the implementation does not support such a space"),
            Self::Finding(finding) => finding.fmt(f),
        }
    }
}

impl core::error::Error for NotCreated {}
