//! Bytes to traces. The fuzz targets and the replay of their corpus share this.
//!
//! Every byte string is a trace, and one more byte adds to its end: a fuzzer that
//! joins, cuts and mends byte strings does the same to operations. Where bytes
//! run out, zeros follow, which stand for the plainest choice.

#![allow(dead_code, reason = "each target uses one of the two")]

use arbitrary::{Result, Unstructured};
use gpu_buddy::diff::{Id, Operation, Space, Trace};
use gpu_buddy::{AllocRequest, GpuBuddyAllocFlags};

/// What is beyond so many operations is left out.
pub const MOST_OPERATIONS: usize = 300;

/// With failures, no space has more chunks. Each failure makes the C look for
/// blocks of half the size, and so for twice as many: after thirty failures a
/// request of 2^30 chunks is met chunk by chunk, in memory and time without end.
const MOST_CHUNKS_WITH_FAULTS: u64 = 4096;

/// The smallest chunk that there can be.
const LEAST_CHUNK: u64 = 4096;

/// A trace without failures of memory, as the twin has none.
pub fn lockstep(bytes: &[u8]) -> Trace {
    Decoder::new(bytes, false).trace()
}

/// A trace in which memory for the allocator's own objects fails.
pub fn faults(bytes: &[u8]) -> Trace {
    Decoder::new(bytes, true).trace()
}

/// An allocation that was asked for.
#[derive(Clone, Copy)]
struct Asked {
    id: Id,
    /// Where it begins, if it was asked for an exact range.
    start: u64,
    size: u64,
}

struct Decoder<'a> {
    bytes: Unstructured<'a>,
    faults: bool,
    /// Its size is what is managed, and not 0.
    space: Space,
    asked: Vec<Asked>,
    next_id: Id,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8], faults: bool) -> Self {
        let space = Space::new(LEAST_CHUNK, LEAST_CHUNK);
        Self { bytes: Unstructured::new(bytes), faults, space, asked: Vec::new(), next_id: 0 }
    }

    fn trace(mut self) -> Trace {
        // None of the calls below fails for want of bytes; if one ever does, what
        // there is so far is the trace.
        let mut space = self.any_space().unwrap_or(self.space);
        if self.faults {
            let most = space.chunk_size.saturating_mul(MOST_CHUNKS_WITH_FAULTS);
            space.size = space.size.min(most);
        }
        let chunk_size = space.chunk_size.max(1);
        let size = (space.size - space.size % chunk_size).max(1);
        self.space = Space::new(size, chunk_size);
        let mut operations = Vec::new();
        while !self.bytes.is_empty() && operations.len() < MOST_OPERATIONS {
            match self.operation() {
                Ok(operation) => operations.push(operation),
                Err(_) => break,
            }
        }
        Trace { space, operations }
    }

    /// A number below `limit`, which is at most 256: one byte.
    fn below(&mut self, limit: usize) -> Result<usize> {
        Ok(usize::from(self.bytes.arbitrary::<u8>()?) % limit)
    }

    /// One time in so many.
    fn rarely(&mut self, limit: usize) -> Result<bool> {
        Ok(self.below(limit)? == limit - 1)
    }

    fn any_space(&mut self) -> Result<Space> {
        let small = LEAST_CHUNK;
        Ok(match self.below(8)? {
            // Small ones fill up, and are quick.
            0..=3 => Space::new((1 + self.below(256)? as u64) * small, small),
            4 => Space::new(64 << 20, small),
            // Of any size, with an end that is no chunk.
            5 => {
                let chunk_size = small << self.below(21)?;
                let chunks = 1 + u64::from(self.bytes.arbitrary::<u16>()?);
                let odd = if self.rarely(2)? { chunk_size - 1 } else { 0 };
                Space::new(chunks * chunk_size + odd, chunk_size)
            }
            // Huge: two roots or more, up to the last address.
            6 => {
                let chunk_size = small << self.below(52)?;
                let size = (u64::MAX << self.below(64)?) >> self.below(20)?;
                Space::new(size, chunk_size)
            }
            // Most of these cannot be.
            _ => {
                let (size, chunk_size) = (self.hostile()?, self.hostile()?);
                Space::new(size, chunk_size)
            }
        })
    }

    fn operation(&mut self) -> Result<Operation> {
        Ok(match self.below(16)? {
            0..=6 => self.alloc()?,
            7..=10 => self.free()?,
            11 => self.free_block()?,
            12 | 13 => self.trim()?,
            14 if self.faults => self.fail_nth()?,
            14 => Operation::BlockAt { offset: self.place()? },
            _ => match self.below(4)? {
                0 => Operation::BlockAt { offset: self.place()? },
                1 => Operation::BlockAt { offset: self.hostile()? },
                2 => Operation::ResetClear { clear: true },
                _ => Operation::ResetClear { clear: false },
            },
        })
    }

    fn alloc(&mut self) -> Result<Operation> {
        let Space { size, chunk_size, .. } = self.space;
        let mut request = AllocRequest {
            size: self.length()?,
            min_block_size: chunk_size,
            ..AllocRequest::default()
        };
        let bits = self.below(256)?;
        // Three flags, then what goes with the mode.
        request.flags = [1, 2, 4]
            .into_iter()
            .zip(GpuBuddyAllocFlags::all().iter())
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, flag)| flag)
            .collect();
        request.top_down = bits & 8 != 0;
        if bits & 16 != 0 {
            request.min_block_size = chunk_size.checked_shl(self.below(64)? as u32).unwrap_or(0);
        }
        match bits >> 5 {
            0 | 1 => {}
            2 => request.end = size,
            // Somewhere in a range.
            3 | 4 => {
                request.range = true;
                request.start = self.place()?;
                request.end = request.start.saturating_add(self.length()?).min(size);
            }
            // Exactly there.
            5 => {
                request.range = self.rarely(2)?;
                request.start = self.place()?;
                request.end = request.start.saturating_add(request.size);
            }
            // Bounds that only the C is given.
            6 => {
                request.start = self.place()?;
                request.end = self.place()?;
            }
            _ => {
                let number = self.hostile()?;
                match self.below(5)? {
                    0 => request.size = number,
                    1 => request.min_block_size = number,
                    2 => request.start = number,
                    3 => request.end = number,
                    _ => {
                        request.range = true;
                        request.start = number;
                        request.end = self.hostile()?;
                    }
                }
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        self.asked.push(Asked { id, start: request.start, size: request.size });
        Ok(Operation::Alloc { id, request })
    }

    fn free(&mut self) -> Result<Operation> {
        let cleared = self.rarely(2)?;
        let Some(index) = self.pick()? else { return self.alloc() };
        Ok(Operation::Free { id: self.asked.remove(index).id, cleared })
    }

    fn free_block(&mut self) -> Result<Operation> {
        let cleared = self.rarely(2)?;
        let Some(index) = self.pick()? else { return self.alloc() };
        Ok(Operation::FreeBlock { id: self.asked[index].id, index: self.below(16)?, cleared })
    }

    fn trim(&mut self) -> Result<Operation> {
        let Some(index) = self.pick()? else { return self.alloc() };
        let Asked { id, start, size } = self.asked[index];
        let chunk_size = self.space.chunk_size;
        let chunks = (size / chunk_size).max(1);
        // A part of it in sixteenths, or in chunks where it is small.
        let unit = chunks.div_ceil(16).saturating_mul(chunk_size);
        let new_size = match self.below(8)? {
            0..=4 => unit.saturating_mul(1 + self.below(16)? as u64),
            5 | 6 => self.length()?,
            _ => self.hostile()?,
        };
        let start = match self.below(8)? {
            0..=2 => None,
            3..=5 => Some(start.saturating_add(unit.saturating_mul(self.below(16)? as u64))),
            6 => Some(self.place()?),
            _ => Some(self.hostile()?),
        };
        Ok(Operation::Trim { id, start, new_size })
    }

    fn fail_nth(&mut self) -> Result<Operation> {
        let nth = 1 + self.below(24)? as u64;
        Ok(match self.below(8)? {
            0..=3 => Operation::FailNth { nth, times: 1 },
            4 => Operation::FailNth { nth, times: u64::MAX },
            5 => Operation::FailNth { nth: 1, times: 0 },
            6 => Operation::FailNth { nth, times: 1 + self.below(16)? as u64 },
            // No failures is the one above, which a trace writes as `off`.
            _ => Operation::FailNth { nth: self.hostile()?.max(1), times: self.hostile()?.max(1) },
        })
    }

    /// One of the allocations not freed as a whole, counted from the last.
    fn pick(&mut self) -> Result<Option<usize>> {
        if self.asked.is_empty() {
            return Ok(None);
        }
        let most = self.asked.len().min(256);
        Ok(Some(self.asked.len() - 1 - self.below(most)?))
    }

    /// Bytes of the space, in whole chunks, more than none.
    fn length(&mut self) -> Result<u64> {
        let Space { size, chunk_size, .. } = self.space;
        let most = size / chunk_size;
        let chunks = match self.below(8)? {
            0..=2 => 1 + self.below(16)? as u64,
            3 | 4 => 1_u64 << self.below(64)?,
            5 => 1 + u64::from(self.bytes.arbitrary::<u16>()?),
            // A half of it, a third and so on.
            6 => most / (1 + self.below(16)? as u64),
            _ => most.saturating_sub(self.below(4)? as u64),
        };
        Ok(chunks.clamp(1, most.max(1)).saturating_mul(chunk_size))
    }

    /// A place in the space, at a chunk.
    fn place(&mut self) -> Result<u64> {
        let Space { size, chunk_size, .. } = self.space;
        let most = size / chunk_size;
        let chunks = match self.below(4)? {
            0 | 1 => u64::from(self.bytes.arbitrary::<u8>()?),
            2 => most / 256 * self.below(256)? as u64,
            // From the end.
            _ => most.saturating_sub(self.below(256)? as u64),
        };
        Ok(chunks.min(most).saturating_mul(chunk_size))
    }

    /// A number from where trouble is, or any.
    fn hostile(&mut self) -> Result<u64> {
        let Space { size, chunk_size, .. } = self.space;
        Ok(match self.below(24)? {
            0 => 0,
            1 => 1,
            2 => chunk_size - 1,
            3 => chunk_size,
            4 => chunk_size.saturating_add(1),
            5 => size - 1,
            6 => size,
            7 => size.saturating_add(chunk_size),
            8 => 1 << 31,
            9 => 1 << 32,
            10 => 1 << 44,
            11 => (1 << 44) + chunk_size.min(1 << 43),
            12 => 1 << 63,
            13 => (1 << 63) + chunk_size.min(1 << 62),
            14 => u64::MAX - chunk_size + 1,
            15 => u64::MAX,
            16..=19 => 1 << self.below(64)?,
            _ => self.bytes.arbitrary()?,
        })
    }
}
