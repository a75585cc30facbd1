//! What can be driven: the C of any kernel, and the safe API over the one that is
//! compiled in.

mod kernel;
mod safe_api;

use kernel::capabilities;
pub(super) use kernel::take_last_call;
pub use kernel::{KernelAllocation, KernelC};
pub use safe_api::{SafeAllocation, SafeApi};
