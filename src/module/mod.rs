//! A kernel's C as a module: one table of functions, the same for every
//! generation of the source.
//!
//! The kernel that is compiled in is one of them, see [`Module::compiled_in`]. With
//! the feature `module`, the C of any other tree is compiled and loaded while the
//! program runs, so that any number of kernels are in one process:
//!
//! ```no_run
//! # #[cfg(feature = "module")] {
//! use gpu_buddy::diff::{Implementation, KernelC, Space};
//! use gpu_buddy::module::Module;
//!
//! let module = Module::open("/home/me/linux")?;
//! for feature in module.features().iter() {
//!     println!("{}: {}", feature.name, feature.meaning);
//! }
//! let space = Space::new(1 << 30, 4 << 10);
//! let allocator = KernelC::new(module, space)?;
//! assert_eq!(allocator.avail(), 1 << 30);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two tables cross the border and nothing else does. The C calls what a kernel gives at
//! run time (memory, BUG, WARN, the log, the clock, the random numbers of a KUnit run,
//! "is this lock held?") through one that it is handed when it is loaded. What can be done
//! with an allocator is in the other, the one symbol that a module shows.

pub(crate) mod abi;
#[cfg(feature = "module")]
mod build;
#[cfg(feature = "module")]
mod cache;
#[cfg(feature = "module")]
mod compile;
#[cfg(feature = "module")]
mod git;
mod inspect;
#[cfg(feature = "module")]
mod load;
#[cfg(feature = "module")]
mod source;
#[allow(dead_code, reason = "a part of it is for build.rs, or for the feature `module`")]
mod tree;

use core::ffi::c_int;
use core::fmt;
use std::sync::OnceLock;

use abi::Table;
#[cfg(feature = "module")]
pub use build::{Tree, ask_compiler};
#[cfg(feature = "module")]
pub use compile::{Build, Object};
pub(crate) use inspect::Inspection;

use crate::runtime::capture;
use crate::runtime::table::RUNTIME;
use crate::{Errno, KernelBug};

unsafe extern "C" {
    #[link_name = "gpu_buddy_kernel_gpu_buddy_module"]
    static COMPILED_IN: Table;
}

/// A kernel's C, ready to be called.
///
/// What a module has loaded stays loaded: the texts of warnings and BUGs are in it.
#[derive(Clone, Copy)]
pub struct Module(&'static Loaded);

struct Loaded {
    /// Such as `7.3`, or a path.
    name: String,
    /// Lines of `key: value` on where the files are from.
    revision: String,
    /// The files of the tree, with the SHA-256 of each.
    files: Vec<(String, String)>,
    /// What the tree lacks, and has from the kernel that is compiled in.
    borrowed: Vec<&'static str>,
    code: &'static Code,
}

/// What was loaded: once, by whatever names it is asked for.
struct Code {
    table: &'static Table,
    /// What the module's init function came to.
    load: OnceLock<Result<c_int, KernelBug>>,
}

/// Why a module's init function did not succeed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stopped {
    Errno(Errno),
    Bug(KernelBug),
}

/// Why a kernel could not be loaded.
#[cfg(feature = "module")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// There is no such kernel, or it lacks the allocator.
    #[error("{0}")]
    NotFound(String),
    /// It does not compile.
    #[error("{0}")]
    Compile(String),
    /// The folder for what was compiled is of no use.
    #[error("{}: {error}", path.display())]
    Cache {
        /// The folder.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: std::io::Error,
    },
    /// What was compiled cannot be loaded.
    #[error("{0}")]
    Load(String),
}

#[cfg(feature = "module")]
impl ModuleError {
    fn cache(path: &std::path::Path, error: std::io::Error) -> Self {
        Self::Cache { path: path.to_owned(), error }
    }
}

/// What the allocator of a kernel can do that not every kernel's can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Features(u32);

/// Something that the allocator of one kernel can do, and that of another not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feature {
    /// Its name, as in [`Kernel::capabilities`](crate::Kernel::capabilities).
    pub name: &'static str,
    /// What the allocator does that has it.
    pub meaning: &'static str,
}

impl Module {
    /// The kernel that was compiled in.
    #[must_use]
    pub fn compiled_in() -> Self {
        static LOADED: OnceLock<Loaded> = OnceLock::new();
        static CODE: Code = Code {
            // SAFETY: the C initialises it at compile time and nobody writes it.
            table: unsafe { &COMPILED_IN },
            load: OnceLock::new(),
        };
        Self(LOADED.get_or_init(|| {
            Loaded {
                name: crate::KERNEL.series.to_owned(),
                revision: crate::KERNEL.revision.to_owned(),
                files: crate::KERNEL
                    .files
                    .iter()
                    .map(|file| (file.path.to_owned(), file.sha256.to_owned()))
                    .collect(),
                borrowed: Vec::new(),
                code: &CODE,
            }
        }))
    }

    /// Calls the module's init function, the first time that it is asked to, outside of
    /// every allocator's scope: memory that a module keeps for itself must not be in the
    /// arena of the allocator that happens to be the first.
    ///
    /// # Errors
    ///
    /// What that function returned, or the BUG that it ran into; `Ok` is 0.
    pub(crate) fn load(self) -> Result<(), Stopped> {
        let result = self.0.code.load.get_or_init(|| {
            let captured = capture(|| {
                // SAFETY: the table of the runtime lives as long as the program, and the
                // C has not been called so far.
                unsafe { (self.table().load)(&raw const RUNTIME) }
            });
            captured.log_all();
            captured.result
        });
        match *result {
            Ok(0) => Ok(()),
            Ok(error) => Err(Stopped::Errno(Errno::from_return(error))),
            Err(bug) => Err(Stopped::Bug(bug)),
        }
    }

    pub(crate) fn table(self) -> &'static Table {
        self.0.code.table
    }

    /// What it was asked for by: a series such as `7.3`, or a path.
    #[must_use]
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// Where its files are from: lines of `key: value`.
    #[must_use]
    pub fn revision(self) -> &'static str {
        &self.0.revision
    }

    /// The files of its tree that it is made of, with the SHA-256 of each in
    /// hexadecimal.
    #[must_use]
    pub fn files(self) -> &'static [(String, String)] {
        &self.0.files
    }

    /// The files that its tree lacks, and that the kernel that is compiled in has lent.
    #[must_use]
    pub fn borrowed_files(self) -> &'static [&'static str] {
        &self.0.borrowed
    }

    /// What its allocator can do that not every kernel's can.
    #[must_use]
    pub fn features(self) -> Features {
        Features(self.table().capabilities)
    }

    /// Whether its allocator has a feature.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.features().has(name)
    }
}

impl Features {
    /// All that there are: those of the newest kernel.
    pub const ALL: Self = Self((1 << tree::CAPABILITIES.len()) - 1);

    /// Whether a feature is among them. A name that is none is not.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.iter().any(|feature| feature.name == name)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        let all = (0..).zip(tree::CAPABILITIES);
        all.filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, (name, _, meaning))| Feature { name, meaning })
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.0.name).finish()
    }
}
