//! A kernel's C as a module: one table of functions, the same for every generation of the source.
//!
//! The compiled-in kernel is a module too, see [`Module::compiled_in`]. With the feature `module`,
//! the C of any other tree is compiled and loaded at run time, so one process can have any number
//! of kernels:
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
//! Rust and the C see only two tables of each other. Through one, which the C gets when it is
//! loaded, it calls what a kernel provides at run time: memory, BUG, WARN, the log, the clock,
//! random numbers for KUnit, and lockdep. The other, the only symbol that a module exports, has the
//! functions of the allocator.

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
pub(crate) use inspect::{Inspection, MOST_ORDERS};

use crate::runtime::capture;
use crate::runtime::table::RUNTIME;
use crate::{Errno, KernelBug};

unsafe extern "C" {
    #[link_name = "gpu_buddy_kernel_gpu_buddy_module"]
    static COMPILED_IN: Table;
}

/// The loaded C of a kernel.
///
/// It is never unloaded, because it has the texts of warnings and BUGs.
#[derive(Clone, Copy)]
pub struct Module(&'static Loaded);

struct Loaded {
    /// A series such as `7.3`, or a path.
    name: String,
    /// The origin of the files: lines of `key: value`.
    revision: String,
    /// The files of the tree, with the SHA-256 of each.
    files: Vec<(String, String)>,
    /// The files that the tree lacks, and that are from the compiled-in kernel.
    borrowed: Vec<&'static str>,
    code: &'static Code,
}

/// Code that was loaded once, whatever its names.
struct Code {
    table: &'static Table,
    /// The result of the module's init function.
    load: OnceLock<Result<c_int, KernelBug>>,
}

/// Why a module's init function failed.
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
    /// The compiler or linker failed.
    #[error("{0}")]
    Compile(String),
    /// The cache folder cannot be used.
    #[error("{}: {error}", path.display())]
    Cache {
        /// The path of the folder.
        path: std::path::PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The compiled module cannot be loaded.
    #[error("{0}")]
    Load(String),
}

#[cfg(feature = "module")]
impl ModuleError {
    fn cache(path: &std::path::Path, error: std::io::Error) -> Self {
        Self::Cache { path: path.to_owned(), error }
    }
}

/// What the allocator of a kernel can do and some kernels cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Features(u32);

/// A feature of the allocator that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feature {
    /// Its name, as in [`Kernel::capabilities`](crate::Kernel::capabilities).
    pub name: &'static str,
    /// What an allocator with this feature does.
    pub meaning: &'static str,
}

impl Module {
    /// The kernel that was compiled in.
    #[must_use]
    pub fn compiled_in() -> Self {
        static LOADED: OnceLock<Loaded> = OnceLock::new();
        static CODE: Code = Code {
            // SAFETY: the table is a constant of the C, which nobody writes.
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

    /// Calls the module's init function once. It runs outside every allocator's scope: memory that
    /// a module keeps must not be in the arena of the first allocator.
    ///
    /// # Errors
    ///
    /// The error number that it returned, or the BUG that it ran into.
    pub(crate) fn load(self) -> Result<(), Stopped> {
        let result = self.0.code.load.get_or_init(|| {
            let captured = capture(|| {
                // SAFETY: the runtime's table is a static, and this is the first call of the C.
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

    /// The name that it was opened with: a series such as `7.3`, or a path.
    #[must_use]
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// The origin of its files: lines of `key: value`.
    #[must_use]
    pub fn revision(self) -> &'static str {
        &self.0.revision
    }

    /// The files of its tree, with the SHA-256 of each in hexadecimal.
    #[must_use]
    pub fn files(self) -> &'static [(String, String)] {
        &self.0.files
    }

    /// The files that its tree lacks, and that are from the compiled-in kernel.
    #[must_use]
    pub fn borrowed_files(self) -> &'static [&'static str] {
        &self.0.borrowed
    }

    /// What its allocator can do and some kernels cannot.
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
    /// All features: those of the newest kernel.
    pub const ALL: Self = Self((1 << tree::CAPABILITIES.len()) - 1);

    /// Whether a feature is in this set. False for an unknown name.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.iter().any(|feature| feature.name == name)
    }

    /// The features of this set.
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
