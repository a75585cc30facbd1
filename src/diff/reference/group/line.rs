//! The states of the blocks in one stretch of memory.

/// A line has the blocks of this many orders.
pub(in super::super) const ORDERS: u32 = 7;

/// The smallest blocks of a line.
pub(in super::super) const WIDTH: u64 = 64;

/// The state of a block that is not split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum State {
    Free {
        clear: bool,
    },
    /// `clear` is the state at the time of the allocation.
    Allocated {
        clear: bool,
    },
}

impl State {
    const ALL: [Self; 4] = [
        Self::Free { clear: false },
        Self::Free { clear: true },
        Self::Allocated { clear: false },
        Self::Allocated { clear: true },
    ];

    const fn plane(self) -> usize {
        match self {
            Self::Free { clear } => clear as usize,
            Self::Allocated { clear } => 2 + clear as usize,
        }
    }
}

/// 64 blocks of some order, the blocks that they are halves of, and so on up to a single one six
/// orders above: 127 places for a block. A state is a bit in one of four planes.
///
/// The places are numbered as in a heap: 1 is the largest block, 2 and 3 are its halves, and the 64
/// smallest are 64 to 127. The buddy of place `p` is `p ^ 1`, and its parent is `p / 2`.
///
/// A line fills one cache line. So a block that is split or merged through seven orders takes one
/// access to memory.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(in super::super) struct Line([Plane; 4]);

/// A bit for each place of a line.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Plane([u64; 2]);

/// The line that has a block, and the block's place there. `level` is the block's order, less the
/// lowest one of the line.
pub(in super::super) const fn place(level: u32, number: u64) -> (u64, u64) {
    let first = WIDTH >> level;
    (number >> (6 - level), first | number & (first - 1))
}

impl Plane {
    pub const fn has(&self, place: u64) -> bool {
        self.0[half(place)] >> (place & 63) & 1 != 0
    }

    pub const fn add(&mut self, place: u64) {
        self.0[half(place)] |= 1 << (place & 63);
    }

    pub const fn remove(&mut self, place: u64) {
        self.0[half(place)] &= !(1 << (place & 63));
    }

    /// The blocks of one level, from bit 0 on.
    pub const fn of_level(&self, level: u32) -> u64 {
        let first = WIDTH >> level;
        self.0[half(first)] >> (first & 63) & !0 >> (WIDTH - first)
    }
}

/// The word of a plane that has a place.
const fn half(place: u64) -> usize {
    (place >> 6 & 1) as usize
}

impl Line {
    pub const fn free(&self, clear: bool) -> &Plane {
        &self.0[clear as usize]
    }

    pub const fn free_mut(&mut self, clear: bool) -> &mut Plane {
        &mut self.0[clear as usize]
    }

    pub const fn add(&mut self, place: u64, state: State) {
        self.0[state.plane()].add(place);
    }

    /// The state of the block at a place; `None` if there is none.
    #[inline]
    pub fn state(&self, place: u64) -> Option<State> {
        let has = |plane: usize| self.0[plane].0[half(place)] >> (place & 63) & 1;
        let planes = has(0) | has(1) << 1 | has(2) << 2 | has(3) << 3;
        State::ALL.get(planes.trailing_zeros() as usize).copied()
    }

    /// Whether there is a free block at a place.
    pub const fn is_free(&self, place: u64) -> bool {
        self.0[0].has(place) || self.0[1].has(place)
    }

    /// Removes a block of a state.
    pub const fn remove(&mut self, place: u64, state: State) {
        self.0[state.plane()].remove(place);
    }

    /// Removes a block of any state.
    pub fn clear(&mut self, place: u64) {
        for plane in &mut self.0 {
            plane.remove(place);
        }
    }
}
