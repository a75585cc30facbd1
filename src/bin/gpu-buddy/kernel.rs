//! The kernel that a command runs, and what it is compared with.

use std::ffi::{OsStr, OsString};

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{Capabilities, KernelC, Lockstep, NotCreated, Settings, Space};
use gpu_buddy::module::Module;

use crate::Failure;
use crate::progress::Progress;

/// Which kernel to run.
#[derive(Clone, clap::Args)]
pub struct Kernel {
    /// Kernel to run: a series under vendor/linux such as 7.2, the path of a kernel
    /// tree, or REV@PATH for a git revision of the tree at PATH [default: the kernel
    /// that is compiled in]
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<OsString>,
}

impl Kernel {
    pub fn open(&self) -> Result<Module, Failure> {
        self.kernel.as_deref().map_or_else(|| Ok(Module::compiled_in()), open)
    }
}

pub fn open(kernel: &OsStr) -> Result<Module, Failure> {
    let _progress = Progress::new(format!("compiling {}", kernel.display()));
    Module::open(kernel).map_err(|error| Failure::Usage(error.to_string()))
}

/// As [`open`], with a hint if the name is close to a keyword of `--against`.
fn open_other(kernel: &OsStr) -> Result<Module, Failure> {
    open(kernel).map_err(|failure| {
        let wrong = kernel.to_string_lossy();
        let is_near = |word: &&str| strsim::jaro(&wrong, word) > 0.8;
        match (failure, ["reference", "contract"].into_iter().find(is_near)) {
            (Failure::Usage(message), Some(word)) => {
                Failure::Usage(format!("{message}. Did you mean {word}?"))
            }
            (failure, _) => failure,
        }
    })
}

/// What a kernel is compared with, besides the contract.
#[derive(Clone, Copy)]
pub enum Against {
    /// The reference model in safe Rust.
    Reference,
    /// Only the contract.
    Contract,
    /// Another kernel.
    Kernel(Module),
}

/// Which kernel to run a trace on, and how it is checked.
#[derive(Clone, clap::Args)]
pub struct Judged {
    #[command(flatten)]
    pub kernel: Kernel,

    /// Compare the kernel with: reference (the same algorithm in safe Rust),
    /// contract (only the documented behaviour), or another KERNEL [default:
    /// reference; contract if the kernel places blocks differently, and for a
    /// trace with fail-nth]
    #[arg(long, value_name = "WHAT")]
    pub against: Option<OsString>,

    /// Treat known breaches as failures
    #[arg(long)]
    pub strict: bool,
}

impl Judged {
    /// See [`Pair::open`].
    pub fn open(&self, faults: bool) -> Result<Pair, Failure> {
        Pair::open(&self.kernel, self.against.as_deref(), faults)
    }
}

/// A kernel, and what it is compared with.
#[derive(Clone, Copy)]
pub struct Pair {
    pub module: Module,
    pub against: Against,
}

impl Pair {
    /// `against` is the user's option. Without it, a kernel is compared with the reference
    /// model if that places blocks in the same way and no memory allocation fails.
    pub fn open(kernel: &Kernel, against: Option<&OsStr>, faults: bool) -> Result<Self, Failure> {
        let module = kernel.open()?;
        let against = match against.map(|against| (against, against.to_str())) {
            None if !faults && Reference::models(module.features()) => Against::Reference,
            None | Some((_, Some("contract"))) => Against::Contract,
            Some((_, Some("reference"))) if faults => {
                return Err(Failure::Usage(
                    "the reference cannot run with failing memory; use --against contract or \
                     --against KERNEL"
                        .into(),
                ));
            }
            Some((_, Some("reference"))) => Against::Reference,
            Some((kernel, _)) => Against::Kernel(open_other(kernel)?),
        };
        Ok(Self { module, against })
    }

    /// Makes an allocator of the kernel, and one of what it is compared with.
    pub fn start(self, space: Space, settings: Settings) -> Result<Lockstep, NotCreated> {
        use gpu_buddy::diff::Implementation as _;
        let kernel = KernelC::new(self.module, space);
        match self.against {
            Against::Reference => {
                Lockstep::between(kernel, Reference::create(space), space, settings)
            }
            Against::Kernel(base) => {
                Lockstep::between(kernel, KernelC::new(base, space), space, settings)
            }
            Against::Contract => Lockstep::only(kernel, space, settings),
        }
    }
}

/// The names of capabilities in the style of options, such as `reset-clear`.
pub fn names(capabilities: Capabilities) -> Vec<String> {
    let name = |capability| {
        let mut name = String::new();
        for letter in format!("{capability:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    };
    capabilities.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use gpu_buddy::diff::Capability;

    use super::*;

    #[test]
    fn capabilities_have_names() {
        assert_eq!(names(Capability::Fini | Capability::ResetClear), ["reset-clear", "fini"]);
    }
}
