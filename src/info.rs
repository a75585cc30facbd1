//! Which kernel was compiled in.

/// The kernel whose allocator this crate was compiled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The series, such as `7.3`; `unknown` where the tree does not say.
    pub series: &'static str,
    /// Where the files are from: lines of `key: value`.
    pub revision: &'static str,
    /// The files that were compiled or included.
    pub files: &'static [KernelFile],
    /// What this kernel's allocator can do that not every series can.
    pub capabilities: &'static [Capability],
}

/// A file of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelFile {
    /// The path inside the kernel tree.
    pub path: &'static str,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: &'static str,
}

/// Something that an allocator of some kernel series can do, and of others not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// The name that the crate's own conditions use.
    pub name: &'static str,
    /// What the allocator does that has it.
    pub meaning: &'static str,
}

impl Kernel {
    /// Whether this kernel's allocator has the capability `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.capabilities.iter().any(|capability| capability.name == name)
    }
}

/// The kernel whose allocator this crate was compiled with.
pub const KERNEL: Kernel = include!(concat!(env!("OUT_DIR"), "/facts.rs"));
