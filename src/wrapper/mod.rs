//! Judges a wrapper over the C of the [raw layer](crate::ffi), as it does the kernel's own Rust
//! binding.
//!
//! # What is judged?
//!
//! | rule | how it is checked | promise |
//! | --- | --- | --- |
//! | all calls on an allocator hold the same lock | [`ffi::hold`](crate::ffi::hold) declares the locks of a thread; the sets of all calls are intersected | [`LockHeld`](crate::diff::Promise::LockHeld) |
//! | a block is freed once, to its own allocator | allocated blocks are known by address | [`FreedOnce`](crate::diff::Promise::FreedOnce) |
//! | an allocator is used only between initialisation and teardown | allocators are known by address | [`AllocatorAlive`](crate::diff::Promise::AllocatorAlive) |
//! | it is torn down once, with nothing allocated | at the teardown, and after everything is dropped | [`TornDown`](crate::diff::Promise::TornDown) |
//! | no path leaks, wherever memory fails | the monitor counts the C's objects | [`NothingLeaked`](crate::diff::Promise::NothingLeaked) |
//! | arguments, results and error numbers are passed on unchanged | lockstep with the C, block for block | all others |
//!
//! Initialisation and teardown need no lock: then one thread owns the allocator. A wrapper whose
//! exclusive reference replaces a lock declares it with `hold(self)`.
//!
//! # How do I use it?
//!
//! Write the wrapper over [`ffi`](crate::ffi). Call [`ffi::hold`](crate::ffi::hold) where it takes
//! its lock. Implement [`Implementation`] for it: five functions, and the
//! [`Capability`](crate::diff::Capability)s that it has beyond plain requests. Then [`check`] is a
//! test in one line: `wrapper::check::<Wrapper>(&Options::default())`. A failure has a short trace.
//! `examples/my_wrapper.rs` is a wrapper of 60 lines to copy, with a planted double free. `cargo
//! run --example my_wrapper` reports:
//!
//! ```text
//! freed-once: gpu_buddy_free_list() is given a block that is not allocated: it was freed before, or never allocated
//! promised: A wrapper frees a block once, to the allocator that it came from.
//! at the end, after everything was freed, by: free a
//! shrunk from 2 operations to 0:
//!
//! space size=12K chunk=4K
//! ```
//!
//! A wrapper in C gets the functions of [`ffi`](crate::ffi) as pointers: they have the C's ABI. It
//! calls back when it takes and releases its lock, and the six functions call it: see
//! `tests/lab/c_wrapper/`.
//!
//! If the wrapper is [`Shareable`](crate::diff::Shareable), [`shared::run`] tests it with several
//! threads: `shared::run(.., Judged::<W>::create, ..)`. For what a trace cannot express, such as a
//! constructor that fails half-way, use a [`Monitor`] in a test of your own.
//!
//! # What happens after a wrong call?
//!
//! It is a finding, and the process goes on. A double free does not reach the C. A kernel BUG is
//! recorded and does not unwind, so that it cannot abort a destructor. Only a call without its lock
//! is passed on, because the monitor serialises all calls. A panic of the wrapper is a finding too.
//!
//! # What is not seen?
//!
//! - What a wrapper reads from the C's structures itself, such as `avail` or a block's header, with
//!   or without a lock. ThreadSanitizer sees that: `ci/sanitize binding`.
//! - A lock that is released and taken again between two calls that belong together.
//! - Miri cannot run any of this: it does not execute C.
//!
//! # The kernel's own binding
//!
//! `gpu-buddy binding` compiles `rust/kernel/gpu/buddy.rs` unchanged, from any kernel tree, with
//! stand-ins for what it uses of the kernel crate (`kernel-binding/`), and judges it in this way.
//! The findings are in `docs/findings.md`.
//!
//! [`shared::run`]: crate::diff::shared::run
//! [`Implementation`]: crate::diff::Implementation

pub(crate) mod calls;
mod check;
mod judged;
mod misuse;
mod monitor;
mod watched;

pub use check::{check, find, find_beside, find_in_creation, find_in_drops, start};
pub use judged::Judged;
pub use misuse::Misuse;
pub use monitor::{Monitor, Seen};
