//! The compiled-in kernel.

/// The kernel whose allocator this crate was compiled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The series, such as `7.3`; `unknown` if the tree does not say.
    pub series: &'static str,
    /// The origin of the files: lines of `key: value`.
    pub revision: &'static str,
    /// The kernel files that were compiled or included.
    pub files: &'static [KernelFile],
    /// What this kernel's allocator can do and some series cannot.
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

/// A feature of the allocator that not every kernel series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// The name, as used in the crate's `cfg` conditions.
    pub name: &'static str,
    /// What an allocator with this capability does.
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
