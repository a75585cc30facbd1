//! Tests an allocator of your own against the kernel's: implement the trait, and write a test of a
//! few lines.
//!
//! This allocator is as simple as possible: a flag for each chunk, and first fit.

use gpu_buddy::diff::{Block, Comparison, Implementation, Settings, Space, torture};
use gpu_buddy::{AllocRequest, Errno};

/// Which chunks are in use.
pub(crate) struct Bitmap {
    used: Vec<bool>,
    chunk_size: u64,
}

impl Implementation for Bitmap {
    /// One block for each chunk.
    type Allocation = Vec<Block>;

    fn create(space: Space) -> Result<Self, Errno> {
        if !space.is_valid() {
            return Err(Errno::EINVAL);
        }
        let Space { size, chunk_size, .. } = space;
        Ok(Self { used: vec![false; (size / chunk_size) as usize], chunk_size })
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<Vec<Block>, Errno> {
        let AllocRequest { size, min_block_size, .. } = *request;
        let valid = size > 0
            && size.is_multiple_of(self.chunk_size)
            && size <= self.used.len() as u64 * self.chunk_size
            && min_block_size == self.chunk_size;
        if !valid {
            return Err(Errno::EINVAL);
        }
        if size > self.avail() {
            return Err(Errno::ENOSPC);
        }
        let free = (0u64..).zip(&mut self.used).filter(|(_, used)| !**used);
        let taken = free.take((size / self.chunk_size) as usize).map(|(chunk, used)| {
            *used = true;
            Block { offset: chunk * self.chunk_size, order: 0, clear: false }
        });
        Ok(taken.collect())
    }

    fn blocks(&self, allocation: &Vec<Block>, blocks: &mut Vec<Block>) {
        blocks.extend_from_slice(allocation);
    }

    fn free(&mut self, allocation: Vec<Block>, _cleared: bool) {
        for block in allocation {
            self.used[(block.offset / self.chunk_size) as usize] = false;
        }
    }

    fn avail(&self) -> u64 {
        self.used.iter().filter(|used| !**used).count() as u64 * self.chunk_size
    }
}

/// In your crate, mark this with `#[test]`. It panics with the shortest sequence of operations
/// after which the two differ.
fn like_the_kernel() {
    torture::check::<Bitmap>(&torture::Options {
        operations: 50_000,
        space: Some(Space::new(1 << 20, 4 << 10)),
        settings: Settings { comparison: Comparison::Observable, ..Settings::default() },
        ..torture::Options::default()
    });
}

pub(crate) fn main() {
    like_the_kernel();
    println!("no difference");
}
