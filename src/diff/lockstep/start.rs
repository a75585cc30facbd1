//! How a lockstep begins.

use crate::Errno;
use crate::diff::subject::{Driver, panics};
use crate::diff::{
    Aspect, Breach, Capability, Comparison, Contract, Finding, Implementation, NotCreated,
    Settings, Space,
};

use super::Lockstep;

impl<S: Implementation, R: Implementation> Lockstep<S, R> {
    /// Both fresh.
    ///
    /// # Errors
    ///
    /// If not both can be made.
    pub fn new(space: Space, settings: Settings) -> Result<Self, NotCreated> {
        Self::between(created(space)?, created(space)?, space, settings)
    }

    /// Two that have just been made.
    ///
    /// # Errors
    ///
    /// If not both could be made.
    pub fn between(
        subject: Result<S, Errno>,
        reference: Result<R, Errno>,
        space: Space,
        settings: Settings,
    ) -> Result<Self, NotCreated> {
        match (subject, reference) {
            (Ok(subject), Ok(reference)) => {
                Ok(Self::with(Driver::of(subject), Some(Driver::of(reference)), space, settings))
            }
            (Err(Errno::EOPNOTSUPP), _) => Err(NotCreated::Declined),
            (Err(errno), Err(other)) if errno == other => Err(NotCreated::refused(errno, space)),
            (subject, reference) => {
                let text = |error: Option<Errno>| match error {
                    Some(errno) => errno.to_string(),
                    None => "an allocator".to_owned(),
                };
                let (subject, reference) = (text(subject.err()), text(reference.err()));
                let finding = Finding::divergence(Aspect::Creation, subject, reference);
                Err(NotCreated::Finding(Box::new(finding)))
            }
        }
    }

    /// Without a reference, under the contract alone.
    ///
    /// # Errors
    ///
    /// Those of [`Implementation::create`].
    pub fn alone(space: Space, settings: Settings) -> Result<Self, NotCreated> {
        Self::only(created(space)?, space, settings)
    }

    /// One that has just been made, without a reference.
    ///
    /// # Errors
    ///
    /// If it could not be made.
    pub fn only(
        subject: Result<S, Errno>,
        space: Space,
        settings: Settings,
    ) -> Result<Self, NotCreated> {
        match subject {
            Ok(subject) => Ok(Self::with(Driver::of(subject), None, space, settings)),
            Err(Errno::EOPNOTSUPP) => Err(NotCreated::Declined),
            Err(errno) => Err(NotCreated::refused(errno, space)),
        }
    }

    fn with(
        subject: Driver<S>,
        reference: Option<Driver<R>>,
        space: Space,
        settings: Settings,
    ) -> Self {
        let mut capabilities = subject.implementation().capabilities();
        if let Some(reference) = &reference {
            // Faults and the teardown may be the subject's alone.
            let alone = Capability::FailNth | Capability::Fini;
            capabilities &= reference.implementation().capabilities() | alone;
        }
        // A kernel that rounds up takes the requests that another one aligns. If it is the
        // difference that is looked for, they are asked for.
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

/// A new allocator, or why there is none. A panic is a finding.
fn created<I: Implementation>(space: Space) -> Result<Result<I, Errno>, NotCreated> {
    panics::catch(|| I::create(space)).map_err(|message| {
        NotCreated::Finding(Box::new(Finding::Breach(Breach::of_panic(message, space))))
    })
}
