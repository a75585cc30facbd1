//! What the kernel that is compiled in can do.
//!
//! The crate asks for capabilities, never for versions: a capability that is
//! taken over into an older series is then seen there.

use crate::kernel::Kernel;
use crate::tree::CAPABILITIES;

/// A capability that a kernel has.
pub struct Capability {
    pub name: &'static str,
    pub meaning: &'static str,
}

pub fn read(kernel: &Kernel) -> Vec<Capability> {
    let mut found = Vec::new();
    for (name, define, meaning) in CAPABILITIES {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if kernel.signs.has(define) {
            println!("cargo::rustc-cfg={name}");
            found.push(Capability { name, meaning });
        }
    }
    found
}
