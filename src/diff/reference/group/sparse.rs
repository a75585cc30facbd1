//! Arrays that take memory only for what is used of them.

use rustc_hash::FxHashMap;

/// Up to this length, a table has an entry for each position. It is zeroed memory of 1 MiB at most,
/// which the system provides as it is used.
const LONGEST_TABLE: u64 = 1 << 18;

/// A sparse array.
#[derive(Clone, Debug)]
pub(super) struct Sparse<T> {
    /// The index of the item at each position, plus 1; 0 if there is none. Empty for a long array.
    table: Vec<u32>,
    /// The same for a long array.
    map: FxHashMap<u64, u32>,
    items: Vec<T>,
}

impl<T: Default> Sparse<T> {
    pub fn new(length: u64) -> Self {
        let length = if length <= LONGEST_TABLE { length as usize } else { 0 };
        Self { table: vec![0; length], map: FxHashMap::default(), items: Vec::new() }
    }

    /// The items that are there, by index.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    pub fn items_mut(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// The index of the item at a position, if there is one.
    #[inline]
    pub fn index(&self, position: u64) -> Option<usize> {
        let entry = match self.table.get(position as usize) {
            Some(&entry) => entry,
            None => self.look_up(position),
        };
        (entry as usize).checked_sub(1)
    }

    #[inline]
    pub fn get(&self, position: u64) -> Option<&T> {
        self.items.get(self.index(position)?)
    }

    /// As [`index`](Self::index), but creates the item if there is none.
    #[inline]
    pub fn index_or_new(&mut self, position: u64) -> usize {
        self.index(position).unwrap_or_else(|| self.create(position))
    }

    #[cold]
    fn create(&mut self, position: u64) -> usize {
        self.items.push(T::default());
        let entry = self.items.len() as u32;
        match self.table.get_mut(position as usize) {
            Some(place) => *place = entry,
            None => _ = self.map.insert(position, entry),
        }
        entry as usize - 1
    }

    #[cold]
    fn look_up(&self, position: u64) -> u32 {
        self.map.get(&position).copied().unwrap_or(0)
    }
}
