//! The blocks of an allocation, in little memory.

use smallvec::SmallVec;

use crate::diff::Block;

/// So many blocks need no memory of their own.
const FEW: usize = 6;

/// A list of blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(SmallVec<[Packed; FEW]>);

/// A block in one word: an offset is a multiple of 4096, and leaves the low bits for the rest.
#[derive(Clone, Copy, Debug)]
struct Packed(u64);

impl From<Block> for Packed {
    fn from(Block { offset, order, clear }: Block) -> Self {
        Self(offset | u64::from(order) << 1 | u64::from(clear))
    }
}

impl From<Packed> for Block {
    fn from(Packed(word): Packed) -> Self {
        Self { offset: word & !4095, order: (word >> 1 & 63) as u32, clear: word & 1 != 0 }
    }
}

impl Blocks {
    pub fn one(block: Block) -> Self {
        Self(SmallVec::from_buf_and_len([block.into(); FEW], 1))
    }

    pub fn iter(&self) -> impl Iterator<Item = Block> + Clone {
        self.0.iter().map(|&block| block.into())
    }

    /// The block, if there is just one.
    pub fn only(&self) -> Option<Block> {
        match self.0[..] {
            [block] => Some(block.into()),
            _ => None,
        }
    }

    pub fn get(&self, index: usize) -> Option<Block> {
        self.0.get(index).map(|&block| block.into())
    }

    pub fn remove(&mut self, index: usize) -> Block {
        self.0.remove(index).into()
    }
}

impl From<&[Block]> for Blocks {
    fn from(blocks: &[Block]) -> Self {
        let mut few = [Packed(0); FEW];
        if blocks.len() > FEW {
            return Self(blocks.iter().map(|&block| block.into()).collect());
        }
        for (packed, &block) in few.iter_mut().zip(blocks) {
            *packed = block.into();
        }
        Self(SmallVec::from_buf_and_len(few, blocks.len()))
    }
}
