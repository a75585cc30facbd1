//! `--kernel`, of every command that runs the C.

use std::ffi::OsString;

use gpu_buddy::module::Module;

use crate::Failure;

/// Which kernel to run.
#[derive(clap::Args)]
pub struct Kernel {
    /// A series under vendor/linux such as 7.2, the path of a kernel tree, or
    /// REV@PATH, a git revision of the tree at PATH [default: the kernel that is
    /// compiled in]
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<OsString>,
}

impl Kernel {
    pub fn open(&self) -> Result<Module, Failure> {
        self.kernel.as_ref().map_or_else(|| Ok(Module::compiled_in()), open)
    }
}

pub fn open(kernel: &OsString) -> Result<Module, Failure> {
    Module::open(kernel).map_err(|error| Failure::Usage(error.to_string()))
}
