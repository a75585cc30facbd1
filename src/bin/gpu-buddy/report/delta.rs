//! The changes from one state of an allocator to the next, as numbers for a page.

use std::cmp::Ordering;

use gpu_buddy::{BlockInfo, BlockState, Snapshot};

/// The block no longer exists.
const GONE: u64 = 0;

/// state.js has the same numbers.
fn code(block: &BlockInfo) -> u64 {
    match (block.state, block.clear) {
        (BlockState::Split, _) => 1,
        (BlockState::Free, false) => 2,
        (BlockState::Free, true) => 3,
        (BlockState::Allocated, false) => 4,
        (BlockState::Allocated, true) => 5,
    }
}

/// The blocks in which two states differ, two numbers each: the block's first chunk, and eight
/// times its order plus its code in the second state.
pub fn delta(from: Option<&Snapshot>, to: &Snapshot) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut say = |block: &BlockInfo, code: u64| {
        numbers.extend([block.offset / to.chunk_size, 8 * u64::from(block.order) + code]);
    };
    let from = from.map(sorted).unwrap_or_default();
    let to = sorted(to);
    let (mut from, mut to) = (from.into_iter().peekable(), to.into_iter().peekable());
    loop {
        let order = match (from.peek(), to.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => place(one).cmp(&place(other)),
        };
        let old = if order == Ordering::Greater { None } else { from.next() };
        let new = if order == Ordering::Less { None } else { to.next() };
        match (old, new) {
            (Some(old), None) => say(old, GONE),
            (old, Some(new)) if old.map(code) != Some(code(new)) => say(new, code(new)),
            _ => {}
        }
    }
    numbers
}

/// The sort key of a block: it comes before its halves.
fn place(block: &BlockInfo) -> (u64, std::cmp::Reverse<u32>) {
    (block.offset, std::cmp::Reverse(block.order))
}

/// The blocks in order. A broken allocator may have them in another order.
fn sorted(snapshot: &Snapshot) -> Vec<&BlockInfo> {
    let mut blocks: Vec<_> = snapshot.blocks.iter().collect();
    if !blocks.is_sorted_by_key(|block| place(block)) {
        blocks.sort_by_key(|block| place(block));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(blocks: &[(u64, u32, BlockState, bool)]) -> Snapshot {
        let block =
            |&(chunk, order, state, clear)| BlockInfo { offset: chunk * 4096, order, state, clear };
        let blocks = blocks.iter().map(block).collect();
        Snapshot { chunk_size: 4096, size: 16384, avail: 0, clear_avail: 0, blocks }
    }

    #[test]
    fn what_is_split_what_merges_and_what_changes() {
        use BlockState::{Allocated, Free, Split};
        let whole = state(&[(0, 2, Free, false)]);
        let split = state(&[
            (0, 2, Split, false),
            (0, 1, Allocated, true),
            (2, 1, Split, false),
            (2, 0, Free, true),
            (3, 0, Free, false),
        ]);
        assert_eq!(delta(None, &whole), [0, 18]);
        assert_eq!(delta(Some(&whole), &whole), [0; 0]);
        assert_eq!(delta(Some(&whole), &split), [0, 17, 0, 13, 2, 9, 2, 3, 3, 2]);
        assert_eq!(delta(Some(&split), &whole), [0, 18, 0, 8, 2, 8, 2, 0, 3, 0]);
        // The same blocks in another order are the same state.
        let mut shuffled = split.clone();
        shuffled.blocks.reverse();
        assert_eq!(delta(Some(&split), &shuffled), [0; 0]);
    }
}
