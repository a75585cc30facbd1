//! Loads: the requests of drivers as operations, and steady loads to measure speed.

mod amdgpu;
mod churn;
mod driver;
mod events;
mod nova;
mod population;
mod sizes;
mod workload;
mod xe;

use core::fmt;
use core::str::FromStr;

use super::generate::{Choices, Seeded};
use super::reference::Reference;
use super::{Lockstep, Space, Trace, torture};
use driver::Driver;

pub use churn::{Churn, ChurnStep};
pub(in crate::diff) use workload::Workload;

/// The allocations of a driver: its sizes, alignments, flags and lifetimes.
///
/// The arguments are taken from the driver's source: which flags occur together, alignments, parts
/// of the memory, what is freed as cleared, and in which order. How often each kind of buffer
/// occurs, its size and its lifetime depend on programs, and are assumed. `docs/loads.md` says for
/// each load which is which, and names the functions.
///
/// | load | source |
/// | --- | --- |
/// | [`Xe`](Self::Xe) | Linux 7.3, `drivers/gpu/drm/xe`: `xe_ttm_vram_mgr_new()`, `xe_bo_init_locked()`, `add_vram()`, `force_contiguous()`, `xe_gem_create_ioctl()`, `xe_pt_create()`, `xe_lrc_init()`, `xe_svm.c` |
/// | [`Amdgpu`](Self::Amdgpu) | Linux 7.3, `drivers/gpu/drm/amd/amdgpu`: `amdgpu_vram_mgr_new()`, `amdgpu_vram_mgr_del()`, `amdgpu_vram_mgr_do_reserve()`, `amdgpu_bo_placement_from_domain()`, `amdgpu_bo_create()`, `amdgpu_vm_pt_create()`, `amdgpu_gem_create_ioctl()` |
/// | [`Nova`](Self::Nova) | nova-core of Linux 7.3 does not call the allocator yet; the patches "gpu: nova-core: mm" as posted in April 2026 do: `Vmm::alloc_vfn_range()`, `alloc_and_zero_page()` |
///
/// ```
/// use gpu_buddy::diff::{Load, format_size};
///
/// let load: Load = "amdgpu".parse()?;
/// let trace = load.trace(1, load.space(), 1000);
/// assert_eq!(trace.operations.len(), 1000);
/// assert_eq!(format_size(trace.space.size), "16G");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Load {
    /// Intel's discrete cards.
    Xe,
    /// AMD's cards.
    Amdgpu,
    /// NVIDIA's cards, with the driver in Rust.
    Nova,
}

impl Load {
    /// Every load.
    pub const ALL: [Self; 3] = [Self::Xe, Self::Amdgpu, Self::Nova];

    /// Its name: `xe`, `amdgpu` or `nova`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xe => "xe",
            Self::Amdgpu => "amdgpu",
            Self::Nova => "nova",
        }
    }

    /// The memory of a typical card, for benches and pictures. [`torture`] draws one of several
    /// cards.
    #[must_use]
    pub const fn space(self) -> Space {
        match self {
            Self::Xe => xe::SPACES[0],
            Self::Amdgpu => amdgpu::SPACES[0],
            Self::Nova => nova::SPACES[0],
        }
    }

    /// A trace of `operations` operations, with the choices of the [reference model](Reference): the
    /// same arguments give the same trace. It uses everything that the model supports.
    ///
    /// # Panics
    ///
    /// If the space is not possible: if the chunk size is not a power of two, is below 4K, or is
    /// larger than the space.
    #[must_use]
    pub fn trace(self, seed: u64, space: Space, operations: u64) -> Trace {
        let options = torture::Options { load: Some(self), ..torture::Options::default() };
        torture::trace(&options, Lockstep::alone::<Reference>, seed, space, operations)
            .unwrap_or_else(|error| panic!("{space:?}: {error}"))
    }

    /// The memory of a random card.
    pub(in crate::diff) fn draw_space(self, choices: &mut impl Choices) -> Space {
        let spaces: &[Space] = match self {
            Self::Xe => &xe::SPACES,
            Self::Amdgpu => &amdgpu::SPACES,
            Self::Nova => &nova::SPACES,
        };
        spaces[choices.below(spaces.len() as u64) as usize]
    }

    /// The driver, on a card with this memory. Other properties are drawn.
    fn driver(self, space: Space, choices: &mut Seeded) -> Box<dyn Driver> {
        match self {
            Self::Xe => Box::new(xe::Xe::draw(space, choices)),
            Self::Amdgpu => Box::new(amdgpu::Amdgpu::draw(space, choices)),
            Self::Nova => Box::new(nova::Nova::draw(space, choices)),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is not that of a load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no load '{0}'; choose one of {all}", all = names())]
pub struct UnknownLoad(String);

fn names() -> String {
    Load::ALL.map(Load::name).join(", ")
}

impl FromStr for Load {
    type Err = UnknownLoad;

    /// # Errors
    ///
    /// If there is no load of this name. The error lists all names.
    fn from_str(name: &str) -> Result<Self, UnknownLoad> {
        let load = Self::ALL.into_iter().find(|load| load.name() == name);
        load.ok_or_else(|| UnknownLoad(name.chars().take(40).collect()))
    }
}
