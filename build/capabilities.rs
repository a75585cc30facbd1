//! The capabilities of the compiled-in kernel.
//!
//! The crate tests for capabilities, never for versions, so it also sees a capability that was
//! backported to an older series.

use crate::kernel::Kernel;
use crate::tree::CAPABILITIES;

/// A capability of a kernel.
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
