//! Lockdep: whether the calling thread holds the allocator's lock.
//!
//! The safe API enters a [`Scope`](super::Scope) with the map of the lock that it holds, so the
//! scope's map is the answer. Callers of the raw layer declare their locks with
//! [`hold`](super::hold). The C asserts only if the allocator was given a lock; the safe API does
//! so in debug builds.

use crate::ffi;

pub(super) extern "C-unwind" fn lock_is_held(map: *const ffi::lockdep_map) -> bool {
    super::scope::lock() == map || super::held::is_held(map.addr())
}
