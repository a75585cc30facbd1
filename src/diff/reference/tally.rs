//! What is known of the free blocks of each order without looking at them.

use core::iter;

/// By order: the number of free blocks, and the highest.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// The orders that have free blocks, a bit for each: dirty ones, and clear ones.
    orders: [u64; 2],
    /// By order and clear state.
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    count: u64,
    /// The number of the highest block, plus 1; 0 if there is none.
    last_plus_1: u64,
}

/// What is left of the free blocks of an order and state when one was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It was the only one.
    None,
    /// It was the highest.
    Lower,
    /// Higher ones.
    Higher,
}

impl Tally {
    /// Without blocks.
    pub fn new(orders: usize) -> Self {
        Self { orders: [0; 2], rows: vec![Row::default(); 2 * orders] }
    }

    /// The orders from `order` up that have free blocks, ascending.
    #[inline]
    pub fn orders(&self, order: u32, clear: bool) -> impl Iterator<Item = u32> + use<> {
        let mut orders = self.orders[usize::from(clear)] & !0 << order;
        iter::from_fn(move || {
            let order = (orders != 0).then(|| orders.trailing_zeros());
            orders &= orders.wrapping_sub(1);
            order
        })
    }

    /// The highest order that has free blocks.
    pub fn highest_order(&self) -> Option<u32> {
        let [dirty, clear] = self.orders;
        (dirty | clear).checked_ilog2()
    }

    /// The number of the highest free block.
    #[inline]
    pub fn last(&self, order: u32, clear: bool) -> Option<u64> {
        self.rows[index(order, clear)].last_plus_1.checked_sub(1)
    }

    #[inline]
    pub fn add(&mut self, order: u32, clear: bool, number: u64) {
        self.orders[usize::from(clear)] |= 1 << order;
        let row = &mut self.rows[index(order, clear)];
        row.count += 1;
        row.last_plus_1 = row.last_plus_1.max(number + 1);
    }

    /// Returns what is left. If it was the highest of several, the caller sets the highest.
    #[inline]
    pub fn remove(&mut self, order: u32, clear: bool, number: u64) -> Left {
        let row = &mut self.rows[index(order, clear)];
        row.count -= 1;
        if row.count == 0 {
            row.last_plus_1 = 0;
            self.orders[usize::from(clear)] &= !(1 << order);
            Left::None
        } else if row.last_plus_1 == number + 1 {
            Left::Lower
        } else {
            Left::Higher
        }
    }

    #[inline]
    pub fn set_last(&mut self, order: u32, clear: bool, number: Option<u64>) {
        let row = &mut self.rows[index(order, clear)];
        row.last_plus_1 = number.map_or(0, |number| number + 1);
    }
}

const fn index(order: u32, clear: bool) -> usize {
    (order << 1 | clear as u32) as usize
}
