#![doc = include_str!("tutorial.md")]

/// Tests the README's examples too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("gpu-buddy needs a 64-bit Linux target: the kernel's C counts in 64-bit longs");

mod alignment;
mod blocks;
mod buddy;
pub mod diff;
mod errno;
mod error;
pub mod fault;
pub mod ffi;
mod flags;
mod info;
mod integrity;
pub mod kernel;
pub mod kunit;
pub mod module;
mod params;
pub mod pure;
mod request;
mod runtime;
pub mod sizes;
mod snapshot;
mod tree;
pub mod wrapper;

pub use alignment::Alignment;
pub use blocks::{AllocatedBlock, AllocatedBlocks, Iter};
pub use buddy::{Fini, GpuBuddy};
pub use errno::Errno;
pub use error::{Error, InvalidArgument, Result};
pub use flags::{GpuBuddyAllocFlag, GpuBuddyAllocFlags, GpuBuddyAllocMode};
pub use info::{Capability, KERNEL, Kernel, KernelFile};
pub(crate) use integrity::TreeShape;
pub use integrity::{FreeTree, FreeTrees, Inconsistency};
pub use params::GpuBuddyParams;
pub use pure::PureBuddy;
pub use request::AllocRequest;
pub use runtime::{KernelBug, LogLevel, LogLine, Warning};
pub use snapshot::{BlockInfo, BlockState, OrderStatistics, Snapshot};

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<GpuBuddy>();
    is_send_and_sync::<AllocatedBlocks>();
    is_send_and_sync::<Error>();
};
