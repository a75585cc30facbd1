//! How to hold a public crate against the kernel's allocator: the frame allocator
//! of `buddy_system_allocator`.
//!
//! The crate gives one power of two of frames at a time, anywhere. Around that,
//! the adapter does what `gpu_buddy_alloc_blocks()` does for a plain request: it
//! takes one block for each power of two in the size. What the crate has no notion
//! of (ranges, clear memory, alignment) the adapter does not offer, so that it is
//! not asked for.

use buddy_system_allocator::FrameAllocator;
use gpu_buddy::diff::{
    Block, Capabilities, Capability, Comparison, Implementation, KernelC, Settings, Space, torture,
};
use gpu_buddy::{AllocRequest, Errno};

struct Frames {
    frames: FrameAllocator<54>,
    chunks: u64,
    chunk_size: u64,
    free: u64,
}

impl Implementation for Frames {
    type Allocation = Vec<Block>;

    fn capabilities(&self) -> Capabilities {
        Capability::FreeBlock.into()
    }

    fn create(space: Space) -> Result<Self, Errno> {
        let chunks = space.size / space.chunk_size;
        let mut frames = FrameAllocator::new();
        frames.add_frame(0, chunks as usize);
        Ok(Self { frames, chunks, chunk_size: space.chunk_size, free: chunks })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Vec<Block>, Errno> {
        let AllocRequest { size, min_block_size, .. } = *request;
        let mut missing = size / self.chunk_size;
        let valid = size.is_multiple_of(self.chunk_size)
            && min_block_size == self.chunk_size
            && (1..=self.chunks).contains(&missing);
        if !valid {
            return Err(Errno::EINVAL);
        }
        let mut blocks = Vec::new();
        let mut order = missing.ilog2();
        while missing > 0 {
            order = order.min(missing.ilog2());
            match self.frames.alloc(1 << order) {
                Some(frame) => {
                    let offset = frame as u64 * self.chunk_size;
                    blocks.push(Block { offset, order, clear: false });
                    self.free -= 1 << order;
                    missing -= 1 << order;
                }
                None if order > 0 => order -= 1,
                None => {
                    self.free(blocks, false);
                    return Err(Errno::ENOSPC);
                }
            }
        }
        Ok(blocks)
    }

    fn blocks(&self, allocation: &Vec<Block>, blocks: &mut Vec<Block>) {
        blocks.extend_from_slice(allocation);
    }

    fn free(&mut self, allocation: Vec<Block>, _cleared: bool) {
        for block in allocation {
            self.frames.dealloc((block.offset / self.chunk_size) as usize, 1 << block.order);
            self.free += 1 << block.order;
        }
    }

    fn free_block(&mut self, allocation: &mut Vec<Block>, index: usize, cleared: bool) {
        let block = allocation.remove(index);
        self.free(vec![block], cleared);
    }

    fn avail(&self) -> u64 {
        self.free * self.chunk_size
    }
}

pub(crate) fn main() {
    // The crate takes the lowest block, the kernel the highest. So each is held
    // against the contract, and not block by block against the other.
    let options = torture::Options {
        operations: 500_000,
        settings: Settings { comparison: Comparison::Contract, ..Settings::default() },
        ..torture::Options::default()
    };
    let (report, failure) = torture::run::<Frames, KernelC>(&options, |_| true);
    println!("{} operations on {} allocators", report.operations, report.allocators);
    println!("not compared: {}", report.not_compared);
    if let Some(failure) = failure {
        panic!("{failure}");
    }
    println!("it keeps the contract");
}
