//! What a driver is to a load.

use crate::AllocRequest;
use crate::diff::generate::Choices;

/// How long an allocation is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Until the driver is unloaded.
    ByDevice,
    /// Until its process has freed all its buffers: page tables and contexts.
    ByAddressSpace,
    /// Until its process frees it or ends.
    ByProcess,
    /// For a few frames. Those of a process are freed in the order in which they were made.
    ForFrames,
}

/// An allocation that a driver makes.
#[derive(Clone, Debug)]
pub struct Want {
    pub request: AllocRequest,
    pub kept: Kept,
    /// Whether it may be evicted for another one.
    pub evictable: bool,
    /// Whether the driver has zeroed it when it frees it.
    pub freed_cleared: bool,
    /// After the allocation it is trimmed: to the size that comes second, from the first
    /// multiple of the number that comes first.
    pub trim: Option<(u64, u64)>,
    /// Without room for it in one piece, it is asked for once more in pieces.
    pub falls_back: bool,
    /// Without room for it, it is asked for once more after each free.
    pub waits: bool,
}

impl Want {
    pub fn new(request: AllocRequest, kept: Kept) -> Self {
        let evictable = matches!(kept, Kept::ByProcess | Kept::ForFrames);
        let (freed_cleared, falls_back, waits) = (false, false, false);
        Self { request, kept, evictable, freed_cleared, trim: None, falls_back, waits }
    }
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Draws, and shows what it draws.
    Graphics,
    /// Computes.
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
    /// What it allocates as it is loaded.
    fn load(&self, choices: &mut dyn Choices) -> Vec<Want>;

    /// What it allocates for a process before that has buffers.
    fn begin_process(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want>;

    /// What it allocates for a new buffer: page tables, and the buffer, which comes last.
    fn buffer(&self, process: Process, choices: &mut dyn Choices) -> Vec<Want>;

    /// A buffer that is kept for a few frames.
    fn frame(&self, process: Process, choices: &mut dyn Choices) -> Want;

    /// An allocation that is seldom made.
    fn seldom(&self, _choices: &mut dyn Choices) -> Option<Want> {
        None
    }

    /// The bytes at the start of the space that the processor can reach.
    fn visible(&self) -> u64;

    /// Whether it keeps away from the allocator what cannot have room, if so much is free,
    /// and so much of what the processor can reach.
    fn refuses(&self, want: &Want, avail: u64, visible_avail: u64) -> bool;

    /// Whether it evicts buffers to make room.
    fn evicts(&self) -> bool;

    /// Whether it forgets after a suspend what is clear.
    fn resets_clear(&self) -> bool;
}
