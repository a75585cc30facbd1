//! Validating an FFI wrapper: whoever wraps the C of the [raw layer](crate::ffi) can have
//! the wrapper judged, as the kernel's own Rust binding is.
//!
//! # What is judged?
//!
//! | rule | how it is checked | promise |
//! | --- | --- | --- |
//! | all calls on an allocator hold one and the same lock | [`ffi::hold`](crate::ffi::hold) says what a thread holds; the locks of all calls are intersected | [`LockHeld`](crate::diff::Promise::LockHeld) |
//! | a block is given back once, to its own allocator | the blocks that were handed out are known by address | [`FreedOnce`](crate::diff::Promise::FreedOnce) |
//! | an allocator is used between its initialisation and its teardown | by its address | [`AllocatorAlive`](crate::diff::Promise::AllocatorAlive) |
//! | it is torn down once, with nothing allocated | at the teardown, and when all is dropped | [`TornDown`](crate::diff::Promise::TornDown) |
//! | no path leaks, if memory fails at whatever place | the C's objects are counted by monitor | [`NothingLeaked`](crate::diff::Promise::NothingLeaked) |
//! | arguments, results and error numbers come through as they are | lockstep with the C, block for block | all the others |
//!
//! The initialisation and the teardown are exempt from the lock: at both ends, an allocator
//! belongs to one thread. A wrapper whose exclusive reference does the work of a lock says so
//! with `hold(self)`.
//!
//! # How do I do it?
//!
//! Write the wrapper over [`ffi`](crate::ffi). Call [`ffi::hold`](crate::ffi::hold) where it
//! takes its lock. Implement [`Implementation`] for it: six functions, and the
//! [`Capability`](crate::diff::Capability)s that it offers beyond plain requests. Then
//! [`check`] is a test in one line: `wrapper::check::<Wrapper>(&Options::default())`. A failure
//! has a short trace. `examples/my_wrapper.rs` is a wrapper of 60 lines to copy, with a planted
//! double free, of which `cargo run --example my_wrapper` says:
//!
//! ```text
//! freed-once: gpu_buddy_free_list() is given a block that is not allocated: it was given back before, or never handed out
//! promised: A wrapper gives a block back once, and to the allocator that it is from.
//! at the end, after everything was freed, by: free a
//! shrunk from 2 operations to 0:
//!
//! space size=12K chunk=4K
//! ```
//!
//! A wrapper in C gets the functions of [`ffi`](crate::ffi) as pointers: they have the C's ABI.
//! It says by a callback when it takes and releases its lock, and the six functions call it:
//! `tests/c_wrapper/` is one.
//!
//! If the wrapper is [`Shareable`](crate::diff::Shareable), [`shared::run`] has threads use
//! it: `shared::run(.., Judged::<W>::create, ..)`. What no operation of a trace can say, such
//! as a constructor that fails half-way, is tried by hand under a [`Monitor`].
//!
//! # What happens to a wrong call?
//!
//! It is a finding, and the process goes on. A double free does not reach the C; a kernel
//! BUG is recorded and does not unwind, so that a destructor may meet one. Only a call
//! without its lock is passed on: the monitor makes all calls one after the other. A panic of
//! the wrapper's own is a finding too.
//!
//! # What is not seen?
//!
//! - What a wrapper reads of the C's structures by itself, such as `avail` or a block's header,
//!   with a lock or without. ThreadSanitizer sees that, see `ci/sanitize binding`.
//! - A lock that is given up and taken again between two calls that belong together.
//! - Miri cannot run any of this: it does not execute C.
//!
//! # The kernel's own binding
//!
//! `gpu-buddy binding` compiles `rust/kernel/gpu/buddy.rs` unchanged, from any kernel tree,
//! with stand-ins for what it uses of the kernel crate (`kernel-binding/`), and judges it in
//! this way. Its findings are in `docs/findings.md`.
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
