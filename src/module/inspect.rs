//! Reads the state of an allocator through a module's table.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use super::Module;
use super::abi::{Head, Order, RECORD_ALLOCATED, RECORD_FREE, Record, State};
use crate::{BlockInfo, BlockState, Snapshot};

/// The content of an allocator's own data structures, as plain data.
pub(crate) struct Inspection {
    pub module: Module,
    pub state: State,
    /// Parents first, the left half before the right.
    pub records: Vec<Record>,
    /// Whether there are more blocks than possible. The others were not read.
    pub endless: bool,
}

/// The most orders.
pub(crate) const MOST_ORDERS: usize = 64;

const EMPTY: Order = {
    let nowhere = core::ptr::null();
    let head = Head { head: nowhere, first: nowhere, last: nowhere };
    Order { free_count: 0, used_count: 0, heads: [head; 2] }
};

/// The state of each order. Not on the heap, because a call that returns `ENOSPC` reads it.
pub(crate) struct Orders {
    orders: [Order; MOST_ORDERS],
    count: usize,
}

impl core::ops::Deref for Orders {
    type Target = [Order];

    fn deref(&self) -> &[Order] {
        &self.orders[..self.count]
    }
}

impl Record {
    pub(crate) fn info(&self) -> BlockInfo {
        let state = match self.state {
            RECORD_ALLOCATED => BlockState::Allocated,
            RECORD_FREE => BlockState::Free,
            _ => BlockState::Split,
        };
        BlockInfo { offset: self.offset, order: self.order, state, clear: self.clear }
    }
}

impl Module {
    /// # Safety
    ///
    /// `mm` is an initialised allocator of this module, and does not change during the call. The
    /// same applies to the functions below.
    pub(crate) unsafe fn state(self, mm: *const c_void) -> State {
        let mut state = State::default();
        // SAFETY: as the caller says.
        unsafe { (self.table().accounts)(mm, &raw mut state) };
        state
    }

    /// Reads the whole tree. `live` is the number of live objects, which is at least the number of
    /// blocks.
    ///
    /// # Safety
    ///
    /// As for [`state`](Self::state).
    pub(crate) unsafe fn inspect(self, mm: *const c_void, live: usize) -> Inspection {
        // SAFETY: as the caller says.
        let state = unsafe { self.state(mm) };
        let mut records = Vec::with_capacity(live);
        // SAFETY: as the caller says; there is room for `live` records.
        let count = unsafe { (self.table().tree)(mm, records.as_mut_ptr(), live) };
        // SAFETY: the adapter wrote `count` records, but no more than `live`.
        unsafe { records.set_len(count.min(live)) };
        Inspection { module: self, state, records, endless: count > live }
    }

    /// Reads the orders from 0 to `max_order`.
    ///
    /// # Safety
    ///
    /// As for [`state`](Self::state), and the allocator's arrays have that many orders.
    pub(crate) unsafe fn orders(self, mm: *const c_void, max_order: u32) -> Orders {
        // An order is below 64, the number of bits of a size.
        let count = (max_order + 1).min(MOST_ORDERS as u32);
        let mut orders = [EMPTY; MOST_ORDERS];
        // SAFETY: as the caller says; there is room for `count`.
        unsafe { (self.table().orders)(mm, orders.as_mut_ptr(), count) };
        Orders { orders, count: count as usize }
    }

    /// The size of the largest free block in bytes; 0 if nothing is free.
    ///
    /// # Safety
    ///
    /// As for [`state`](Self::state).
    pub(crate) unsafe fn largest_free_block(self, mm: *const c_void) -> u64 {
        // SAFETY: as the caller says.
        let (state, orders) = unsafe {
            let state = self.state(mm);
            (state, self.orders(mm, state.max_order))
        };
        let has_free = |order: &Order| order.heads.iter().any(Head::has_blocks);
        let largest = orders.iter().rposition(has_free);
        largest.map_or(0, |order| state.chunk_size << order)
    }

    /// # Safety
    ///
    /// `block` is a block of an allocator of this module, and does not change during the call.
    pub(crate) unsafe fn record(self, block: *const c_void) -> Record {
        let mut record = MaybeUninit::uninit();
        // SAFETY: as the caller says; the adapter writes all fields.
        unsafe {
            (self.table().record)(block, record.as_mut_ptr());
            record.assume_init()
        }
    }
}

impl Head {
    fn has_blocks(&self) -> bool {
        // The head of an empty list points to itself.
        !self.first.is_null() && self.first != self.head
    }
}

impl Inspection {
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            chunk_size: self.state.chunk_size,
            size: self.state.size,
            avail: self.state.avail,
            clear_avail: self.state.clear_avail,
            blocks: self.records.iter().map(Record::info).collect(),
        }
    }
}
