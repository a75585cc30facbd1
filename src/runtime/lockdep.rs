//! Lockdep: is the allocator's lock held by the thread that calls?
//!
//! The safe API enters a [`Scope`](super::Scope) with the map of the lock whose
//! guard it holds, so the scope's map is the answer. Callers of the raw layer say with
//! [`hold`](super::hold) which locks they hold. The allocator asks only
//! where it was told of its lock, which the safe API does in debug builds.

use crate::ffi;

pub(super) extern "C-unwind" fn lock_is_held(map: *const ffi::lockdep_map) -> bool {
    super::scope::lock() == map || super::held::is_held(map.addr())
}
