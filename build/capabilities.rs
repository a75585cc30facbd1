//! What a kernel's allocator can do, read off its files.
//!
//! The crate asks for capabilities, never for versions: a capability that is
//! taken over into an older series is then seen there.

use crate::Result;
use crate::kernel::{ALLOCATOR, HEADER, Kernel};

/// A cfg, the file to look in, the name that shows it, and what it means.
const CAPABILITIES: [(&str, &str, &str, &str); 6] = [
    ("scoreboard", HEADER, "free_scoreboard", "counts its blocks by order"),
    (
        "addr_to_block",
        HEADER,
        "gpu_buddy_allocated_addr_to_block",
        "finds the allocated block at an address",
    ),
    (
        "offset_align",
        HEADER,
        "subtree_max_alignment",
        "aligns an allocation beyond its size without rounding it up",
    ),
    ("lockdep", HEADER, "lock_dep_map", "asserts that its lock is held"),
    ("get_buddy", HEADER, "gpu_get_buddy", "gives the buddy of a block"),
    (
        "undo_splits",
        ALLOCATOR,
        "__gpu_buddy_undo_splits",
        "takes a free block out of its tree before it undoes a split",
    ),
];

/// A capability that a kernel has.
pub struct Capability {
    pub name: &'static str,
    pub meaning: &'static str,
}

pub fn read(kernel: &Kernel) -> Result<Vec<Capability>> {
    let mut found = Vec::new();
    for (name, file, sign, meaning) in CAPABILITIES {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if crate::read(&kernel.path(file))?.contains(sign) {
            println!("cargo::rustc-cfg={name}");
            found.push(Capability { name, meaning });
        }
    }
    Ok(found)
}
