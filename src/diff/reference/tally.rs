//! What is known of the free blocks of each order without looking at their lines.

use core::iter;

/// So many free blocks of an order and state are listed. If there are more, the index of their
/// group has to be searched.
const LISTED: usize = 256;

/// The free blocks by order: a list if they are few, and the highest in any case.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// The orders that have free blocks, a bit for each: dirty ones, and clear ones.
    orders: [u64; 2],
    /// By order and clear state.
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    /// The number of the highest block, plus 1; 0 if there is none.
    last_plus_1: u64,
    /// The numbers of all blocks, ascending, unless they are too many.
    list: Vec<u64>,
    /// How many blocks are in the index; 0 if they are in the list.
    indexed: usize,
}

/// Where a free block was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// To the list.
    Listed,
    /// To the list, which is too long now: the caller adds it to the index.
    TooMany,
    /// Nowhere yet: the caller adds it to the index.
    Indexed,
}

/// What is left of the free blocks of an order and state when one was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The list of the others.
    Listed,
    /// So few that the caller lists them.
    Few,
    /// Lower ones in the index, the highest of which the caller looks up.
    Lower,
    /// Among others the highest one, in the index.
    Higher,
}

impl Row {
    fn set_last(&mut self, number: Option<u64>) {
        self.last_plus_1 = number.map_or(0, |number| number + 1);
    }

    fn remove_indexed(&mut self, number: u64) -> Left {
        self.indexed -= 1;
        if self.indexed <= LISTED / 2 {
            Left::Few
        } else if self.last_plus_1 == number + 1 {
            Left::Lower
        } else {
            Left::Higher
        }
    }
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

    /// The numbers of all free blocks, ascending; `None` if they are only in the index.
    pub fn list(&self, order: u32, clear: bool) -> Option<&[u64]> {
        let row = &self.rows[index(order, clear)];
        (row.indexed == 0).then_some(&row.list)
    }

    /// Empties a list that is too long.
    pub fn take_list(&mut self, order: u32, clear: bool) -> Vec<u64> {
        let row = &mut self.rows[index(order, clear)];
        row.indexed = row.list.len();
        core::mem::take(&mut row.list)
    }

    /// Lists the free blocks again, which are few.
    pub fn set_list(&mut self, order: u32, clear: bool, list: Vec<u64>) {
        let row = &mut self.rows[index(order, clear)];
        debug_assert_eq!(list.len(), row.indexed, "the index lacks free blocks");
        row.indexed = 0;
        row.set_last(list.last().copied());
        row.list = list;
    }

    #[inline]
    pub fn add(&mut self, order: u32, clear: bool, number: u64) -> Added {
        self.orders[usize::from(clear)] |= 1 << order;
        let row = &mut self.rows[index(order, clear)];
        let is_last = number >= row.last_plus_1;
        if is_last {
            row.last_plus_1 = number + 1;
        }
        if row.indexed != 0 {
            row.indexed += 1;
            return Added::Indexed;
        }
        if is_last {
            row.list.push(number);
        } else {
            let at = row.list.partition_point(|&other| other < number);
            row.list.insert(at, number);
        }
        if row.list.len() > LISTED { Added::TooMany } else { Added::Listed }
    }

    #[inline]
    pub fn remove(&mut self, order: u32, clear: bool, number: u64) -> Left {
        let row = &mut self.rows[index(order, clear)];
        if row.indexed != 0 {
            return row.remove_indexed(number);
        }
        if row.last_plus_1 == number + 1 {
            row.list.pop();
            row.set_last(row.list.last().copied());
            if row.list.is_empty() {
                self.orders[usize::from(clear)] &= !(1 << order);
            }
        } else if let Ok(at) = row.list.binary_search(&number) {
            row.list.remove(at);
        }
        Left::Listed
    }

    /// Sets the highest free block of those in the index.
    #[inline]
    pub fn set_last(&mut self, order: u32, clear: bool, number: Option<u64>) {
        self.rows[index(order, clear)].set_last(number);
    }
}

const fn index(order: u32, clear: bool) -> usize {
    (order << 1 | clear as u32) as usize
}
