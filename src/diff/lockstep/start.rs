//! Constructors of [`Lockstep`].

use core::mem;

use crate::Errno;
use crate::diff::subject::{Calls, Driver, Instance, panics};
use crate::diff::{
    Aspect, Breach, Capability, Comparison, Contract, Finding, Implementation, NotCreated,
    Settings, Space,
};

use super::Lockstep;

impl Lockstep {
    /// Creates both allocators.
    ///
    /// # Errors
    ///
    /// [`NotCreated`] if one of them cannot be created.
    pub fn new<S, R>(space: Space, settings: Settings) -> Result<Self, NotCreated>
    where
        S: Implementation,
        R: Implementation,
    {
        Self::both(created::<S>(space)?, created::<R>(space)?, space, settings)
    }

    /// Starts with two allocators that were just created.
    ///
    /// # Errors
    ///
    /// [`NotCreated`] if one of them could not be created.
    pub fn between(
        subject: Result<impl Implementation, Errno>,
        reference: Result<impl Implementation, Errno>,
        space: Space,
        settings: Settings,
    ) -> Result<Self, NotCreated> {
        Self::both(subject.map(untyped), reference.map(untyped), space, settings)
    }

    fn both(
        subject: Made,
        reference: Made,
        space: Space,
        settings: Settings,
    ) -> Result<Self, NotCreated> {
        match (subject, reference) {
            (Ok(subject), Ok(reference)) if space.is_valid() => {
                let (subject, reference) = (Driver::with(subject), Driver::with(reference));
                Ok(Self::with(subject, Some(reference), space, settings))
            }
            (Ok(subject), Ok(reference)) => {
                let kernels = subject.runs_kernel_code() && reference.runs_kernel_code();
                let in_base = settings.differences_only || (kernels && !settings.strict);
                mem::forget((subject, reference));
                // What the base accepts too is nothing new.
                Err(if in_base { REFUSED } else { NotCreated::accepted(space) })
            }
            (Err(Errno::EOPNOTSUPP), _) => Err(NotCreated::Declined),
            (Err(errno), Err(other)) if errno == other => Err(NotCreated::refused(errno, space)),
            (subject, reference) => {
                let (subject, reference) = (text(subject, space), text(reference, space));
                let finding = Finding::divergence(Aspect::Creation, subject, reference);
                Err(NotCreated::Finding(Box::new(finding)))
            }
        }
    }

    /// Creates one allocator without a reference: it is judged by the contract alone.
    ///
    /// # Errors
    ///
    /// [`NotCreated`] if it cannot be created.
    pub fn alone<S: Implementation>(space: Space, settings: Settings) -> Result<Self, NotCreated> {
        Self::one(created::<S>(space)?, space, settings)
    }

    /// Starts with an allocator that was just created, without a reference.
    ///
    /// # Errors
    ///
    /// [`NotCreated`] if it could not be created.
    pub fn only(
        subject: Result<impl Implementation, Errno>,
        space: Space,
        settings: Settings,
    ) -> Result<Self, NotCreated> {
        Self::one(subject.map(untyped), space, settings)
    }

    fn one(subject: Made, space: Space, settings: Settings) -> Result<Self, NotCreated> {
        match subject {
            Ok(subject) if space.is_valid() => {
                Ok(Self::with(Driver::with(subject), None, space, settings))
            }
            Ok(subject) => {
                mem::forget(subject);
                Err(if settings.differences_only { REFUSED } else { NotCreated::accepted(space) })
            }
            Err(Errno::EOPNOTSUPP) => Err(NotCreated::Declined),
            Err(errno) => Err(NotCreated::refused(errno, space)),
        }
    }

    fn with(subject: Driver, reference: Option<Driver>, space: Space, settings: Settings) -> Self {
        let mut capabilities = subject.calls().capabilities();
        if let Some(reference) = &reference {
            // The subject may have faults and the teardown even if the reference does not.
            let alone = Capability::FailNth | Capability::Fini;
            capabilities &= reference.calls().capabilities() | alone;
        }
        // A kernel that rounds up accepts the requests that another one aligns. They are made if
        // differences are the goal.
        if settings.differences_only && capabilities.contains(Capability::RoundsUp) {
            capabilities |= Capability::OffsetAlign;
        }
        if settings.comparison == Comparison::Observable {
            capabilities &= !(Capability::FreeBlock | Capability::Trim | Capability::BlockAt);
        }
        let contract = Contract::new(space, capabilities);
        let base = Self::has_base(&subject, reference.as_ref()).then(|| contract.clone());
        Self {
            subject,
            reference,
            contract,
            base,
            capabilities,
            settings,
            space,
            steps: 0,
            next_full_check: settings.full_check_interval,
            next_print: 0,
            bug: None,
            tree_blocks: 0,
            next_id: 0,
        }
    }
}

/// A new allocator, or its error.
type Made = Result<Box<dyn Calls>, Errno>;

fn untyped(implementation: impl Implementation) -> Box<dyn Calls> {
    Box::new(Instance::new(implementation))
}

/// There is nothing to judge in an invalid space.
const REFUSED: NotCreated = NotCreated::Refused(Errno::EINVAL);

/// What a creation returned, as text.
fn text(created: Made, space: Space) -> String {
    match created {
        Err(errno) => errno.to_string(),
        Ok(allocator) => {
            if !space.is_valid() {
                // Nobody knows what its teardown would do.
                mem::forget(allocator);
            }
            "an allocator".to_owned()
        }
    }
}

/// A new allocator, or its error. A panic is a finding.
fn created<I: Implementation>(space: Space) -> Result<Made, NotCreated> {
    panics::catch(|| I::create(space).map(untyped)).map_err(|message| {
        NotCreated::Finding(Box::new(Finding::Breach(Breach::of_panic(message, space))))
    })
}
