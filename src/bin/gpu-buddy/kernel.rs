//! Which kernel a command runs, and what that is held against.

use std::ffi::{OsStr, OsString};

use gpu_buddy::diff::reference::Reference;
use gpu_buddy::diff::{KernelC, Lockstep, NotCreated, Settings, Space};
use gpu_buddy::module::Module;

use crate::Failure;
use crate::progress::Progress;

/// Which kernel to run.
#[derive(Clone, clap::Args)]
pub struct Kernel {
    /// A series under vendor/linux such as 7.2, the path of a kernel tree, or
    /// REV@PATH, a git revision of the tree at PATH [default: the kernel that is
    /// compiled in]
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

/// As [`open`], where a word may be meant.
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

/// What a kernel is held against, besides the contract.
#[derive(Clone, Copy)]
pub enum Against {
    /// The twin in safe Rust.
    Reference,
    /// Nothing else.
    Contract,
    /// Another kernel.
    Kernel(Module),
}

/// Which kernel to run a trace on, and how it is judged.
#[derive(Clone, clap::Args)]
pub struct Judged {
    #[command(flatten)]
    pub kernel: Kernel,

    /// What the kernel is held against: reference, contract, or another KERNEL
    /// [default: reference, or contract if the kernel's choices are not the
    /// reference's, and for a trace with fail-nth]
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

/// A kernel, and what it is held against.
#[derive(Clone, Copy)]
pub struct Pair {
    pub module: Module,
    pub against: Against,
}

impl Pair {
    /// `against` is what the user asked for. Unless that is said, a kernel is held
    /// against the twin if that makes the same choices, and if no memory fails.
    pub fn open(kernel: &Kernel, against: Option<&OsStr>, faults: bool) -> Result<Self, Failure> {
        let module = kernel.open()?;
        let against = match against.map(|against| (against, against.to_str())) {
            None if !faults && Reference::models(module.features()) => Against::Reference,
            None | Some((_, Some("contract"))) => Against::Contract,
            Some((_, Some("reference"))) if faults => {
                return Err(Failure::Usage(
                    "the reference has no memory that fails; hold the kernel against the \
                     contract or another kernel"
                        .into(),
                ));
            }
            Some((_, Some("reference"))) => Against::Reference,
            Some((kernel, _)) => Against::Kernel(open_other(kernel)?),
        };
        Ok(Self { module, against })
    }

    /// Makes allocators of the kernel, with the twin beside it or without.
    pub fn start(
        self,
        space: Space,
        settings: Settings,
    ) -> Result<Lockstep<KernelC, Reference>, NotCreated> {
        use gpu_buddy::diff::Implementation as _;
        let kernel = KernelC::new(self.module, space);
        match self.against {
            Against::Reference => {
                Lockstep::between(kernel, Reference::create(space), space, settings)
            }
            _ => Lockstep::only(kernel, space, settings),
        }
    }
}

/// Makes allocators of two kernels.
pub fn start_both(
    module: Module,
    other: Module,
) -> impl Fn(Space, Settings) -> Result<Lockstep<KernelC, KernelC>, NotCreated> + Copy {
    move |space, settings| {
        let kernels = (KernelC::new(module, space), KernelC::new(other, space));
        Lockstep::between(kernels.0, kernels.1, space, settings)
    }
}
