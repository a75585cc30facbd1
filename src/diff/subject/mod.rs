//! Allocators under test: implementations of the trait, the C of any kernel, and the safe API over
//! the kernel that is compiled in.

mod capability;
mod driver;
mod implementation;
mod instance;
mod kernel;
pub(super) mod panics;
mod safe_api;
mod space;

pub use capability::{Capabilities, Capability};
pub use driver::Outcome;
pub(super) use driver::{Driver, needs};
pub use implementation::{Block, Implementation, Printed, Report, Shareable};
pub(super) use instance::{Calls, Instance};
use kernel::capabilities;
pub(crate) use kernel::kept_away;
pub use kernel::{KernelAllocation, KernelC};
pub(crate) use panics::catch;
pub use safe_api::{SafeAllocation, SafeApi};
pub use space::Space;
