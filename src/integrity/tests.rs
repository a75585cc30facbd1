//! Plants each inconsistency in an allocator of the raw layer.

use core::mem::MaybeUninit;
use core::ptr;

use super::{FreeTree, Inconsistency as I};
use crate::module::abi::Record;
use crate::{ffi, runtime, tree};

/// The offset of a block's node in a tree of free blocks.
#[cfg(offset_align)]
const NODE: usize = core::mem::offset_of!(ffi::gpu_buddy_block, __bindgen_anon_1);

const CHUNK: u64 = 4096;

/// 20 chunks, so there are roots of 16 and of 4. Of the first 12, the even ones are allocated,
/// except chunk 4, which is free and clear.
struct Planted {
    mm: Box<ffi::gpu_buddy>,
    #[allow(clippy::vec_box, reason = "the head of a list stays where it is")]
    lists: Vec<Box<ffi::list_head>>,
    undo: Vec<Box<dyn FnOnce()>>,
}

fn scan(mm: &ffi::gpu_buddy) -> Vec<I> {
    tree::scan(mm, 100).0
}

type Block = *mut ffi::gpu_buddy_block;

/// The trees of free blocks.
const CLEAR: usize = ffi::gpu_buddy_free_tree_GPU_BUDDY_CLEAR_TREE as usize;
const DIRTY: usize = ffi::gpu_buddy_free_tree_GPU_BUDDY_DIRTY_TREE as usize;

impl Planted {
    fn new() -> Self {
        let mut mm = Box::new(MaybeUninit::<ffi::gpu_buddy>::zeroed());
        // SAFETY: the memory is zeroed and at a fixed address.
        assert_eq!(unsafe { ffi::gpu_buddy_init(mm.as_mut_ptr(), 20 * CHUNK, CHUNK) }, 0);
        // SAFETY: the init function succeeded.
        let mm = unsafe { mm.assume_init() };
        let mut planted = Self { mm, lists: Vec::new(), undo: Vec::new() };
        for index in 0..6 {
            let start = index * 2 * CHUNK;
            let mut list =
                Box::new(ffi::list_head { next: ptr::null_mut(), prev: ptr::null_mut() });
            let head = &raw mut *list;
            (list.next, list.prev) = (head, head);
            let (mm, end) = (&raw mut *planted.mm, start + CHUNK);
            // SAFETY: the arguments are valid, and the list is empty and at a fixed address.
            let result =
                unsafe { ffi::gpu_buddy_alloc_blocks(mm, start, end, CHUNK, CHUNK, head, 0) };
            assert_eq!(result, 0);
            planted.lists.push(list);
        }
        let (mm, list) = (&raw mut *planted.mm, &raw mut *planted.lists[2]);
        // SAFETY: the list holds the block of chunk 4.
        unsafe { ffi::gpu_buddy_free_list(mm, list, ffi::GPU_BUDDY_CLEARED as u32) };
        assert_eq!(scan(&planted.mm), []);
        planted
    }

    /// Changes a value, which is restored at the end.
    ///
    /// # Safety
    ///
    /// `place` is inside the allocator or its blocks, and the C does not run until it is restored.
    unsafe fn set<T: Copy + 'static>(&mut self, place: *mut T, value: T) {
        // SAFETY: as the caller says.
        let old = unsafe { place.replace(value) };
        // SAFETY: as the caller says.
        self.undo.push(Box::new(move || unsafe { place.write(old) }));
    }

    /// The block at a chunk.
    fn block(&self, chunk: u64, order: u32) -> Block {
        let inspection = tree::inspect(&self.mm, 100);
        let is_it = |record: &&Record| (record.offset, record.order) == (chunk * CHUNK, order);
        let record = inspection.records.iter().find(is_it).expect("a block");
        record.block.cast_mut().cast()
    }

    fn tree(&self, tree: usize, order: usize) -> *mut *mut ffi::rb_node {
        // SAFETY: there is a tree of each kind for each order.
        unsafe { &raw mut (*(*self.mm.free_trees.add(tree)).add(order)).rb_node }
    }

    /// The root of the dirty tree of order 0, which has five nodes.
    fn top(&self) -> *mut ffi::rb_node {
        // SAFETY: the tree is there.
        unsafe { *self.tree(DIRTY, 0) }
    }

    /// A red node without children, and the link to it.
    fn red_leaf(&self) -> (*mut ffi::rb_node, *mut *mut ffi::rb_node) {
        let mut links = vec![self.tree(DIRTY, 0)];
        while let Some(link) = links.pop() {
            // SAFETY: the nodes of a tree are valid, and nothing uses them.
            unsafe {
                let node = *link;
                if node.is_null() {
                    continue;
                }
                if (*node).rb_left.is_null()
                    && (*node).rb_right.is_null()
                    && (*node).__rb_parent_color & 1 == 0
                {
                    return (node, link);
                }
                links.extend([&raw mut (*node).rb_left, &raw mut (*node).rb_right]);
            }
        }
        panic!("the tree has no red leaf");
    }

    /// Corrects the scoreboard of allocated blocks for one block less.
    fn uncount(&mut self) {
        #[cfg(scoreboard)]
        // SAFETY: it has a number for order 0.
        unsafe {
            let place = self.mm.used_scoreboard;
            self.set(place, *place - 1);
        }
    }

    #[track_caller]
    fn shows(self, expected: impl Fn(&I) -> bool) {
        let found = scan(&self.mm);
        assert!(!found.is_empty() && found.iter().all(expected), "{found:?}");
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        self.undo.drain(..).rev().for_each(|undo| undo());
        let mm = &raw mut *self.mm;
        // An unmerged block raises a warning.
        runtime::capture(|| {
            for list in &mut self.lists {
                // SAFETY: each list has allocated blocks, or none.
                unsafe { ffi::gpu_buddy_free_list(mm, &raw mut **list, 0) };
            }
            // SAFETY: everything is free, and `mm` is not used again.
            unsafe { ffi::gpu_buddy_fini(mm) };
        });
    }
}

#[test]
fn arrays() {
    let mut planted = Planted::new();
    let readable = |mm: &ffi::gpu_buddy| tree::free_trees(mm, 100).is_some();
    assert!(readable(&planted.mm));
    planted.mm.max_order += 1;
    let found = scan(&planted.mm);
    assert!(!readable(&planted.mm));
    planted.mm.max_order -= 2;
    assert!(!readable(&planted.mm));
    planted.mm.max_order += 1;
    assert_eq!(found, [I::MaxOrder { is: 5, expected: 4 }]);

    planted.mm.n_roots = 1;
    let found = scan(&planted.mm);
    planted.mm.n_roots = 2;
    assert_eq!(found, [I::RootCount { is: 1, expected: 2 }]);
}

#[test]
fn accounts() {
    let mut planted = Planted::new();
    let (avail, clear_avail) = (planted.mm.avail, planted.mm.clear_avail);
    planted.mm.avail += CHUNK;
    planted.mm.clear_avail = 0;
    let found = scan(&planted.mm);
    (planted.mm.avail, planted.mm.clear_avail) = (avail, clear_avail);
    assert_eq!(
        found,
        [
            I::Avail { is: 16 * CHUNK, expected: 15 * CHUNK },
            I::ClearAvail { is: 0, expected: CHUNK }
        ]
    );
}

#[cfg(scoreboard)]
#[test]
fn scoreboards() {
    let mut planted = Planted::new();
    let free = planted.mm.free_scoreboard;
    // SAFETY: it has a number for order 1.
    unsafe { planted.set(free.add(1), 7) };
    planted.shows(|found| *found == I::FreeScoreboard { order: 1, is: 7, expected: 0 });

    let mut planted = Planted::new();
    let used = planted.mm.used_scoreboard;
    // SAFETY: it has a number for order 0.
    unsafe { planted.set(used, 4) };
    planted.shows(|found| *found == I::UsedScoreboard { order: 0, is: 4, expected: 5 });
}

#[test]
fn blocks() {
    let mut planted = Planted::new();
    let root = planted.block(16, 2);
    // SAFETY: a header of the same order and state, at an offset as aligned.
    unsafe { planted.set(&raw mut (*root).header, (*root).header + 32 * CHUNK) };
    planted.shows(|found| matches!(found, I::Root { expected_order: 2, .. }));

    for wrong in [ptr::null_mut(), ptr::without_provenance_mut(1)] {
        let mut planted = Planted::new();
        let parent = planted.block(0, 1);
        // SAFETY: the scan does not follow such pointers.
        unsafe { planted.set(&raw mut (*parent).left, wrong) };
        planted.uncount();
        planted.shows(|found| *found == I::MissingBlock { offset: 0, order: 0 });
    }

    // A loop.
    let mut planted = Planted::new();
    let parent = planted.block(0, 1);
    // SAFETY: a block of the tree.
    unsafe { planted.set(&raw mut (*parent).left, parent) };
    planted.uncount();
    planted.shows(|found| *found == I::MissingBlock { offset: 0, order: 0 });

    let mut planted = Planted::new();
    let block = planted.block(0, 0);
    // SAFETY: a header of another offset.
    unsafe { planted.set(&raw mut (*block).header, (*block).header + 32 * CHUNK) };
    planted.shows(|found| matches!(found, I::Half { expected_offset: 0, .. }));

    let mut planted = Planted::new();
    let block = planted.block(0, 0);
    // SAFETY: the scan does not follow it.
    unsafe { planted.set(&raw mut (*block).parent, ptr::null_mut()) };
    planted.shows(|found| *found == I::Parent { offset: 0, order: 0 });

    let mut planted = Planted::new();
    let block = planted.block(0, 0);
    // SAFETY: a header without a state.
    unsafe {
        planted.set(&raw mut (*block).header, (*block).header & !ffi::GPU_BUDDY_HEADER_STATE);
    }
    planted.uncount();
    planted.shows(|found| *found == I::State { offset: 0, order: 0 });

    let mut planted = Planted::new();
    let block = planted.block(0, 1);
    // SAFETY: a header that is clear.
    unsafe {
        planted.set(&raw mut (*block).header, (*block).header | ffi::GPU_BUDDY_HEADER_CLEAR);
    }
    planted.shows(|found| *found == I::SplitClear { offset: 0, order: 1 });
}

#[test]
fn merging() {
    let mut planted = Planted::new();
    let block = planted.block(8, 0);
    let list = &raw mut *planted.lists[4];
    // SAFETY: the list holds this block. It has no parent when it is freed, so
    // that it is not merged.
    unsafe {
        let parent = (*block).parent;
        (*block).parent = ptr::null_mut();
        ffi::gpu_buddy_free_list(&raw mut *planted.mm, list, 0);
        (*block).parent = parent;
    }
    planted.shows(|found| *found == I::Unmerged { offset: 8 * CHUNK, order: 1 });
}

#[test]
fn membership() {
    let mut planted = Planted::new();
    let (_, link) = planted.red_leaf();
    // SAFETY: without that leaf, it is still a tree.
    unsafe { planted.set(link, ptr::null_mut()) };
    planted.shows(|found| matches!(found, I::NotInTree { order: 0, .. }));

    let mut planted = Planted::new();
    let (from, to) = (planted.tree(CLEAR, 0), planted.tree(CLEAR, 1));
    // SAFETY: the one node of a tree becomes that of another.
    unsafe {
        planted.set(to, *from);
        planted.set(from, ptr::null_mut());
    }
    planted.shows(|found| {
        *found == I::WrongTree { offset: 4 * CHUNK, order: 1, tree: FreeTree::Clear }
    });

    // A node twice, and a node that is no block.
    let mut planted = Planted::new();
    let (from, to) = (planted.tree(CLEAR, 0), planted.tree(CLEAR, 1));
    // SAFETY: the scan does not go there twice.
    unsafe { planted.set(to, *from) };
    planted.shows(|found| *found == I::ForeignNode { order: 1, tree: FreeTree::Clear });

    let mut planted = Planted::new();
    let tree = planted.tree(CLEAR, 1);
    // SAFETY: the scan does not follow it.
    unsafe { planted.set(tree, ptr::without_provenance_mut(0x1000)) };
    planted.shows(|found| *found == I::ForeignNode { order: 1, tree: FreeTree::Clear });
}

#[test]
fn red_and_black() {
    let mut planted = Planted::new();
    let top = planted.top();
    // SAFETY: the two below a node change sides.
    unsafe {
        let (left, right) = ((*top).rb_left, (*top).rb_right);
        planted.set(&raw mut (*top).rb_left, right);
        planted.set(&raw mut (*top).rb_right, left);
    }
    planted.shows(|found| matches!(found, I::Unsorted { order: 0, tree: FreeTree::Dirty, .. }));

    let mut planted = Planted::new();
    let (leaf, _) = planted.red_leaf();
    // SAFETY: no parent, and red still.
    unsafe { planted.set(&raw mut (*leaf).__rb_parent_color, 0) };
    planted.shows(|found| matches!(found, I::ParentLink { order: 0, tree: FreeTree::Dirty, .. }));

    let mut planted = Planted::new();
    let top = planted.top();
    // SAFETY: another colour.
    unsafe { planted.set(&raw mut (*top).__rb_parent_color, 0) };
    planted.shows(|found| matches!(found, I::RedNode { order: 0, tree: FreeTree::Dirty, .. }));

    let mut planted = Planted::new();
    let (leaf, _) = planted.red_leaf();
    // SAFETY: another colour.
    unsafe {
        planted.set(&raw mut (*leaf).__rb_parent_color, (*leaf).__rb_parent_color | 1);
    }
    planted.shows(|found| matches!(found, I::BlackHeight { order: 0, tree: FreeTree::Dirty, .. }));
}

#[cfg(offset_align)]
#[test]
fn alignment() {
    let mut planted = Planted::new();
    let block = planted.top().cast::<u8>().wrapping_sub(NODE).cast::<ffi::gpu_buddy_block>();
    // SAFETY: the root of a tree is in a block.
    unsafe { planted.set(&raw mut (*block).subtree_max_alignment, 13) };
    planted.shows(|found| matches!(found, I::MaxAlignment { order: 0, is: 13, expected: 12, .. }));
}
