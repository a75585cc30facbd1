//! The interface between a driver and a load.

use crate::AllocRequest;
use crate::diff::generate::Choices;

/// The lifetime of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Until the driver is unloaded.
    ByDevice,
    /// Until its process has freed all its buffers: for page tables and contexts.
    ByAddressSpace,
    /// Until its process frees it or ends.
    ByProcess,
    /// For a few frames. Those of a process are freed in the order of allocation.
    ForFrames,
}

/// An allocation that a driver requests.
#[derive(Clone, Debug)]
pub struct Want {
    pub request: AllocRequest,
    pub kept: Kept,
    /// Whether it may be evicted to make room.
    pub evictable: bool,
    /// Whether the driver zeroes it before it is freed.
    pub freed_cleared: bool,
    /// If set, it is trimmed after the allocation: from the first multiple of the first number, to
    /// the second number, both in bytes.
    pub trim: Option<(u64, u64)>,
    /// If there is no contiguous room, it is requested again without the contiguous flag.
    pub falls_back: bool,
    /// If there is no room, it is requested again after each free.
    pub waits: bool,
}

impl Want {
    pub fn new(request: AllocRequest, kept: Kept) -> Self {
        let evictable = matches!(kept, Kept::ByProcess | Kept::ForFrames);
        let (freed_cleared, falls_back, waits) = (false, false, false);
        Self { request, kept, evictable, freed_cleared, trim: None, falls_back, waits }
    }
}

/// The kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// It draws and displays.
    Graphics,
    /// It computes.
    Compute,
}

/// A process that uses the driver.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub program: Program,
    /// Counts up from 0.
    pub number: u64,
}

/// A driver on a card.
pub trait Driver: Send {
    /// The allocations when it is loaded.
    fn load(&self, choices: &mut dyn Choices) -> Vec<Want>;

    /// The allocations for a new process, before it has buffers.
    fn begin_process(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want>;

    /// The allocations for a new buffer: page tables, then the buffer.
    fn buffer(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want>;

    /// A buffer that is kept for a few frames.
    fn frame(&self, process: Process, choices: &mut dyn Choices) -> Want;

    /// A rare allocation.
    fn seldom(&self, _choices: &mut dyn Choices) -> Option<Want> {
        None
    }

    /// The bytes at the start of the space that the CPU can reach.
    fn visible(&self) -> u64;

    /// Whether the driver itself refuses a request, with `avail` free bytes, and `visible_avail` of
    /// them in reach of the CPU.
    fn refuses(&self, want: &Want, avail: u64, visible_avail: u64) -> bool;

    /// Whether it evicts buffers to make room.
    fn evicts(&self) -> bool;

    /// Whether it makes all free memory dirty after a suspend.
    fn resets_clear(&self) -> bool;
}
