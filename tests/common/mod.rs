//! What several tests share.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod kernel;
mod nested;
mod raw;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use gpu_buddy::{
    Alignment, AllocatedBlocks, GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode, GpuBuddyParams,
    Result,
};

pub use kernel::{
    copy_of_kernel, edit_allocator, finding_trace, is_recorded, kernel_line, kernel_tree,
    kunit_py_parse, not_found, not_tested, other_tree, project, with_statement,
};
pub use nested::{
    NestedTarget, UNOPTIMISED, WITH_EXAMPLE, locked_folder, nested_cargo, nested_target, out_dir,
};
pub use raw::{List, Raw};

/// A cache folder for all tests, so that not each of them compiles the same kernels.
pub fn module_cache() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules")
}

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
/// The chunk size of most tests.
pub const CHUNK: u64 = 4 * KIB;

pub fn alignment(bytes: u64) -> Alignment {
    Alignment::new_checked(bytes as usize).expect("a power of two")
}

pub fn params(base_offset: u64, size: u64, chunk_size: u64) -> GpuBuddyParams {
    GpuBuddyParams { base_offset, size, chunk_size: alignment(chunk_size) }
}

/// A space of `size` bytes from 0 on, in chunks of 4 KiB.
pub fn space(size: u64) -> GpuBuddy {
    GpuBuddy::new(params(0, size, CHUNK)).expect("a new space")
}

/// Allocates anywhere, in blocks of at least a chunk.
pub fn simple(
    buddy: &GpuBuddy,
    size: u64,
    flags: impl Into<GpuBuddyAllocFlags>,
) -> Result<AllocatedBlocks> {
    buddy.alloc_blocks(GpuBuddyAllocMode::Simple, size, buddy.chunk_size(), flags)
}

/// Takes `size` bytes at `start`, and nothing else.
pub fn exact(buddy: &GpuBuddy, start: u64, size: u64) -> Result<AllocatedBlocks> {
    let mode = GpuBuddyAllocMode::Range(start..start + size);
    buddy.alloc_blocks(mode, size, buddy.chunk_size(), GpuBuddyAllocFlags::empty())
}

/// The offset and the size of each block.
pub fn extents(blocks: &AllocatedBlocks) -> Vec<(u64, u64)> {
    blocks.iter().map(|block| (block.offset(), block.size())).collect()
}

/// Pseudorandom numbers, the same on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len() as u64) as usize]
    }
}

/// Runs `f`, which can note what it is about to do. Panics with the last note if that takes
/// longer than `limit`.
pub fn within<N: std::fmt::Debug + Send + 'static>(
    limit: Duration,
    f: impl FnOnce(&dyn Fn(N)) + Send + 'static,
) {
    let (sender, receiver) = channel();
    let note = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let last = std::sync::Arc::clone(&note);
    let worker = thread::spawn(move || {
        // Dropped at the end, or as a panic unwinds.
        let _sender: std::sync::mpsc::Sender<()> = sender;
        f(&|next| *note.lock() = Some(next));
    });
    match receiver.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => panic!("not done within {limit:?}: {:?}", last.lock()),
        _ => {
            if let Err(panic) = worker.join() {
                eprintln!("the last call: {:?}", last.lock());
                std::panic::resume_unwind(panic);
            }
        }
    }
}
