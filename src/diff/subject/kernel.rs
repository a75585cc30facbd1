//! The C of a kernel, as an implementation like any other. It is given what it is
//! given: its own checks of the arguments are under test.

use core::cell::Cell;
use core::ffi::{c_int, c_uint, c_void};
use core::ptr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::diff::{
    Accounts, Block, Capabilities, Capability, Implementation, Operation, Report, Shareable, Space,
};
use crate::fault::Fault;
use crate::module::{Features, Inspection, Module, Stopped};
use crate::runtime::arena::Arena;
use crate::runtime::{Event, Outcome, Scope, Stop};
use crate::{
    AllocRequest, Errno, FreeTrees, GpuBuddyAllocFlag, Inconsistency, KernelBug, LogLine, Snapshot,
    Warning, ffi, integrity,
};

/// One allocator may have so many objects: 400 MB of blocks. Beyond that there is no
/// memory, so that a call that asks for billions of blocks ends.
const MOST_OBJECTS: usize = 1 << 22;

/// The allocator of a kernel's C.
///
/// Arguments reach the C as they are, so that its own checks are under test. Kept away is
/// only what no check of the C would end well:
///
/// - a contiguous request above 2^63 bytes, in a space that is larger still: rounding it up
///   to a power of two is undefined in C;
/// - a request of more than 2^32 chunks, rounded up, whose low 32 bits are not 0: the C
///   takes the order from these, and hands out up to 2^32 blocks of it.
///
/// Bits of the flags that this crate has no name for reach the C as well. A list that is
/// allocated onto is what the C leaves of it: a failing contiguous request may have freed
/// what was on it. The C knows of no [base](Space::base), so that the base changes nothing.
///
/// An allocator may have 2^22 objects. Beyond that there is no memory for it, so that a
/// call that never stops asking for more ends with `ENOMEM`.
pub struct KernelC {
    shared: Arc<Shared>,
    /// Warnings that have been reported.
    warnings: usize,
    /// Failures of memory that have been reported.
    failed: u64,
}

/// An allocation of [`KernelC`]: the head of a list of blocks.
pub struct KernelAllocation(Box<ffi::list_head>);

// SAFETY: the blocks on the list belong to it alone, and are touched under the lock of
// their allocator.
unsafe impl Send for KernelAllocation {}

/// What those who share an allocator have in common.
struct Shared {
    module: Module,
    space: Space,
    /// Its address is what the C knows the lock by.
    map: ffi::lockdep_map,
    /// Objects that are alive besides blocks.
    arrays: usize,
    state: Mutex<State>,
}

struct State {
    /// The C's own structure, which stays where it is.
    mm: Box<[u64]>,
    arena: Arena,
    warnings: Vec<Warning>,
    bug: Option<KernelBug>,
    /// The fini function was called.
    finished: bool,
    /// How often the C was called.
    calls: u64,
    /// The steps of the last call, until they are reported.
    cost: Option<u64>,
}

// SAFETY: `mm` points to memory of `arena`, which is in the same value, and the C keeps
// nothing by thread.
unsafe impl Send for State {}
// SAFETY: `map` holds a pointer to a literal and is never written; all else is shared
// under the mutex alone.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

thread_local! {
    static LAST_CALL: Cell<u64> = const { Cell::new(0) };
}

/// What a kernel's allocator offers.
pub(in crate::diff) fn capabilities(module: Module) -> Capabilities {
    let features = module.features();
    let mut capabilities = Capabilities::all();
    for (feature, capability) in [
        ("clear", Capability::Clear),
        ("reset_clear", Capability::ResetClear),
        ("contiguous", Capability::Contiguous),
        ("trim_disable", Capability::TrimDisable),
        ("trim_start", Capability::TrimStart),
        ("addr_to_block", Capability::BlockAt),
        ("offset_align", Capability::OffsetAlign),
        ("rounds_up", Capability::RoundsUp),
    ] {
        if !features.has(feature) {
            capabilities.remove(capability);
        }
    }
    capabilities
}

impl KernelC {
    /// A new allocator of a kernel's C, with all of `space` free and dirty.
    ///
    /// # Errors
    ///
    /// Those of the kernel's init function; `ENOTRECOVERABLE` where that runs into a
    /// BUG.
    pub fn new(module: Module, space: Space) -> Result<Self, Errno> {
        module.load().map_err(|stopped| match stopped {
            Stopped::Errno(errno) => errno,
            Stopped::Bug(_) => Errno::ENOTRECOVERABLE,
        })?;
        let words = (module.table().mm_size as usize).div_ceil(size_of::<u64>());
        let mut state = State {
            mm: vec![0; words].into_boxed_slice(),
            arena: Arena::for_init(None),
            warnings: Vec::new(),
            bug: None,
            finished: false,
            calls: 0,
            cost: None,
        };
        state.arena.set_limit(MOST_OBJECTS);
        let mut shared = Shared {
            module,
            space,
            map: ffi::lockdep_map { name: c"KernelC".as_ptr() },
            arrays: 0,
            state: Mutex::new(state),
        };
        let Space { size, chunk_size, .. } = space;
        let init = module.table().init;
        // SAFETY: `mm` is memory for an allocator of this module, and stays there.
        let result = shared.call(|mm| unsafe { init(mm, size, chunk_size) })?;
        check(result)?;
        let state = shared.state.get_mut();
        state.arena.initialised(module.has("undo_splits"));
        // SAFETY: `mm` has been initialised, and has so many objects.
        let inspection = unsafe { module.inspect(state.mm.as_ptr().cast(), state.arena.live()) };
        shared.arrays = state.arena.live() - inspection.records.len();
        let shared = Arc::new(shared);
        if let Some(set_lock) = module.table().set_lock {
            let map = (&raw const shared.map).cast_mut();
            // SAFETY: `mm` is initialised, and the map stays where it is in the `Arc`.
            shared.call(|mm| unsafe { set_lock(mm, map) })?;
        }
        // It is the calls of a trace whose cost is reported.
        shared.state.lock().cost = None;
        Ok(Self { shared, warnings: 0, failed: 0 })
    }

    /// The kernel that it is of.
    #[must_use]
    pub fn module(&self) -> Module {
        self.shared.module
    }

    /// The space that it was made for.
    #[must_use]
    pub fn space(&self) -> Space {
        self.shared.space
    }

    /// What the C prints of its state, a line each; nothing after a BUG.
    #[must_use]
    pub fn print(&self) -> Vec<LogLine> {
        let print = self.shared.module.table().print;
        // SAFETY: `mm` is initialised and its lock is held.
        let printed = self.shared.call_with_events(|mm| unsafe { print(mm) });
        let lines = printed.map(|((), events)| events).unwrap_or_default();
        let line = |event| match event {
            Event::Log(line) => Some(line),
            _ => None,
        };
        lines.into_iter().filter_map(line).collect()
    }

    fn call<R>(&self, f: impl FnOnce(*mut c_void) -> R) -> Result<R, Errno> {
        self.shared.call(f)
    }

    /// Gives `f` the state, unless it cannot be read any more.
    fn inspect<R>(&self, f: impl FnOnce(*const c_void, &Inspection, usize) -> R) -> Option<R> {
        let state = self.shared.state.lock();
        if state.bug.is_some() || state.finished {
            return None;
        }
        let (mm, live) = (state.mm.as_ptr().cast(), state.arena.live());
        // SAFETY: `mm` is initialised, and the lock is held.
        let inspection = unsafe { self.shared.module.inspect(mm, live) };
        Some(f(mm, &inspection, live))
    }

    /// Why an allocation is kept away from the C.
    fn keeps_away(&self, request: &AllocRequest) -> Option<&'static str> {
        let Space { size: space, chunk_size, .. } = self.shared.space;
        let AllocRequest { start, end, size, min_block_size, .. } = *request;
        // What is larger than the space, and what is taken exactly, is told apart before.
        if size > space || start.checked_add(size) == Some(end) {
            return None;
        }
        let rounded = if request.flags.contains(GpuBuddyAllocFlag::Contiguous) {
            match size.checked_next_power_of_two() {
                Some(rounded) => rounded,
                None => return Some("roundup_pow_of_two() is undefined above 2^63"),
            }
        } else {
            size.checked_next_multiple_of(min_block_size).unwrap_or(0)
        };
        let chunks = rounded / chunk_size;
        // The order is that of the low 32 bits. The rest is then made up of small blocks,
        // as if for a machine with terabytes of memory.
        let truncated = chunks > u64::from(u32::MAX) && chunks as u32 != 0;
        truncated.then_some("more than 2^32 chunks are handed out as up to 2^32 single ones")
    }
}

impl Shared {
    fn call<R>(&self, f: impl FnOnce(*mut c_void) -> R) -> Result<R, Errno> {
        self.call_with_events(f).map(|(value, _)| value)
    }

    /// Runs `f`, which calls the C, under the lock and inside this allocator's scope.
    /// Returns what was reported as well.
    fn call_with_events<R>(
        &self,
        f: impl FnOnce(*mut c_void) -> R,
    ) -> Result<(R, Vec<Event>), Errno> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.bug.is_some() || state.finished {
            return Err(Errno::ENOTRECOVERABLE);
        }
        state.calls += 1;
        LAST_CALL.set(state.calls);
        let mm = state.mm.as_mut_ptr().cast();
        let steps = self.module.table().steps;
        let before = steps();
        let Outcome { result, events } = Scope::new(&mut state.arena, &self.map).run(|| f(mm));
        state.cost = Some(steps().wrapping_sub(before));
        for event in &events {
            if let Event::Warning(warning) = event {
                state.warnings.push(*warning);
            }
        }
        match result {
            Ok(value) => Ok((value, events)),
            Err(Stop::Bug(bug)) => {
                state.bug = Some(bug);
                Err(Errno::ENOTRECOVERABLE)
            }
            Err(Stop::Panic(payload)) => {
                drop(guard);
                std::panic::resume_unwind(payload)
            }
            // Outside of KUnit there are no assertions.
            Err(Stop::Assertion) => Err(Errno::ENOTRECOVERABLE),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let fini = self.module.table().fini;
        let state = self.state.get_mut();
        // What failed to be initialised has nothing to tear down, and what ran into a BUG
        // cannot be: the arena takes its memory back.
        if state.bug.is_none() && !state.finished && state.arena.is_initialised() {
            // SAFETY: `mm` is initialised, and nobody else has it.
            let _ = self.call(|mm| unsafe { fini(mm) });
        }
    }
}

impl KernelAllocation {
    fn new() -> Self {
        let mut head = Box::new(ffi::list_head { next: ptr::null_mut(), prev: ptr::null_mut() });
        let place = &raw mut *head;
        (head.next, head.prev) = (place, place);
        Self(head)
    }

    fn head(&mut self) -> *mut ffi::list_head {
        &raw mut *self.0
    }

    /// The links of its blocks, in order.
    fn links(&self) -> impl Iterator<Item = *mut ffi::list_head> {
        let head = &raw const *self.0;
        let mut next = self.0.next;
        core::iter::from_fn(move || {
            let link = next;
            if link.cast_const() == head {
                return None;
            }
            // SAFETY: the links of allocated blocks belong to the owner of the list.
            next = unsafe { (*link).next };
            Some(link)
        })
    }

    /// Takes a block out, into a list of its own.
    fn take(&mut self, index: usize) -> Option<Self> {
        let link = self.links().nth(index)?;
        let mut taken = Self::new();
        let head = taken.head();
        // SAFETY: the link is one of this list, whose links are valid and ours.
        unsafe {
            let (next, prev) = ((*link).next, (*link).prev);
            ((*prev).next, (*next).prev) = (next, prev);
            ((*link).next, (*link).prev) = (head, head);
            ((*head).next, (*head).prev) = (link, link);
        }
        Some(taken)
    }
}

impl Implementation for KernelC {
    type Allocation = KernelAllocation;

    fn capabilities(&self) -> Capabilities {
        capabilities(self.shared.module)
    }

    fn runs_kernel_code(&self) -> bool {
        true
    }

    fn kernel(&self) -> Option<Features> {
        Some(self.shared.module.features())
    }

    /// An allocator of the kernel that is compiled in.
    fn create(space: Space) -> Result<Self, Errno> {
        Self::new(Module::compiled_in(), space)
    }

    fn declines(&self, operation: &Operation) -> Option<&'static str> {
        match operation {
            Operation::Alloc { request, .. } | Operation::AllocOnto { request, .. } => {
                self.keeps_away(request)
            }
            _ => None,
        }
    }

    fn alloc(&mut self, request: &AllocRequest) -> Result<KernelAllocation, Errno> {
        let mut allocation = KernelAllocation::new();
        self.alloc_onto(&mut allocation, request)?;
        Ok(allocation)
    }

    fn alloc_onto(
        &mut self,
        allocation: &mut KernelAllocation,
        request: &AllocRequest,
    ) -> Result<(), Errno> {
        let AllocRequest { start, end, size, min_block_size, .. } = *request;
        let alloc = self.shared.module.table().alloc_blocks;
        let (head, flags) = (allocation.head(), request.bits());
        let result = self.call(|mm| {
            // SAFETY: `mm` is initialised and its lock is held; `head` is a list of allocated
            // blocks of `mm`, or empty. What is undefined for other arguments is kept away,
            // see `declines`.
            unsafe { alloc(mm, start, end, size, min_block_size, head, flags) }
        })?;
        check(result)
    }

    fn blocks(&self, allocation: &KernelAllocation, blocks: &mut Vec<Block>) {
        let state = self.shared.state.lock();
        // The call that ran into a BUG may have left the list in pieces.
        if state.bug.is_some() || state.finished {
            return;
        }
        let module = self.shared.module;
        let offset = module.table().link_offset as usize;
        blocks.extend(allocation.links().map(|link| {
            // SAFETY: the link is inside of an allocated block of this allocator, whose
            // lock is held.
            let record =
                unsafe { module.record(link.cast_const().cast::<c_void>().byte_sub(offset)) };
            Block { offset: record.offset, order: record.order, clear: record.clear }
        }));
    }

    fn free(&mut self, mut allocation: KernelAllocation, cleared: bool) {
        let free_list = self.shared.module.table().free_list;
        let flags = if cleared { ffi::GPU_BUDDY_CLEARED as c_uint } else { 0 };
        let head = allocation.head();
        // SAFETY: the blocks of the list are allocated and `mm` is theirs, whose lock is
        // held. An unusable allocator keeps what is allocated, in its arena.
        let _ = self.call(|mm| unsafe { free_list(mm, head, flags) });
    }

    fn free_block(&mut self, allocation: &mut KernelAllocation, index: usize, cleared: bool) {
        let state = self.shared.state.lock();
        if state.bug.is_some() || state.finished {
            return;
        }
        drop(state);
        if let Some(taken) = allocation.take(index) {
            self.free(taken, cleared);
        }
    }

    fn trim(
        &mut self,
        allocation: &mut KernelAllocation,
        start: Option<u64>,
        new_size: u64,
    ) -> Result<(), Errno> {
        let trim = self.shared.module.table().block_trim;
        let mut start = start;
        let start = start.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let head = allocation.head();
        // SAFETY: the blocks of the list are allocated and `mm` is theirs, whose lock is
        // held; `start` is null or points to a number.
        check(self.call(|mm| unsafe { trim(mm, start, new_size, head) })?)
    }

    fn reset_clear(&mut self, clear: bool) {
        if let Some(reset_clear) = self.shared.module.table().reset_clear {
            // Fails only for an unusable allocator, which every other call reports.
            // SAFETY: `mm` is initialised and its lock is held.
            let _ = self.call(|mm| unsafe { reset_clear(mm, clear) });
        }
    }

    fn block_at(&self, offset: u64) -> Result<Option<Block>, Errno> {
        let module = self.shared.module;
        let addr_to_block = module.table().addr_to_block.ok_or(Errno::EOPNOTSUPP)?;
        self.call(|mm| {
            // SAFETY: `mm` is initialised and its lock is held.
            let block = unsafe { addr_to_block(mm, offset) };
            // The last addresses are error numbers.
            if block.addr() >= usize::MAX - 4094 {
                return Err(Errno::from_return(block.addr() as c_int));
            }
            if block.is_null() {
                return Ok(None);
            }
            // SAFETY: neither null nor an error number, so a block of this allocator.
            let record = unsafe { module.record(block) };
            Ok(Some(Block { offset: record.offset, order: record.order, clear: record.clear }))
        })?
    }

    fn fail_nth(&mut self, nth: u64, times: u64) {
        let fault = (times > 0).then(|| Fault::nth(nth).times(times));
        self.shared.state.lock().arena.set_fault(fault);
    }

    fn fini(&mut self) -> usize {
        let fini = self.shared.module.table().fini;
        // SAFETY: `mm` is initialised and its lock is held; no call follows this one.
        let _ = self.call(|mm| unsafe { fini(mm) });
        let mut state = self.shared.state.lock();
        state.finished = true;
        // What a BUG has left behind is no leak.
        if state.bug.is_some() { 0 } else { state.arena.live() }
    }

    fn avail(&self) -> u64 {
        self.accounts().avail
    }

    fn clear_avail(&self) -> u64 {
        self.accounts().clear_avail
    }

    fn accounts(&self) -> Accounts {
        let state = self.shared.state.lock();
        // SAFETY: `mm` is initialised, and the lock is held.
        let state = unsafe { self.shared.module.state(state.mm.as_ptr().cast()) };
        Accounts { avail: state.avail, clear_avail: state.clear_avail }
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.inspect(|_, inspection, _| inspection.snapshot())
    }

    fn report(&mut self) -> Report {
        let mut state = self.shared.state.lock();
        let failed = state.arena.failed();
        let report = Report {
            warnings: state.warnings[self.warnings..].to_vec(),
            bug: state.bug,
            faulted: failed > self.failed,
            cost: state.cost.take(),
            ..Report::default()
        };
        self.failed = failed;
        self.warnings = state.warnings.len();
        report
    }

    fn free_trees(&self) -> Option<FreeTrees> {
        // SAFETY: `mm` is what was inspected, and its lock is held still.
        self.inspect(|mm, inspection, _| unsafe { integrity::free_trees(mm, inspection) })?
    }

    fn scan(&self) -> Vec<Inconsistency> {
        let found = self.inspect(|mm, inspection, live| {
            // SAFETY: `mm` is what was inspected, and its lock is held still.
            let (mut found, blocks) = unsafe { integrity::scan(mm, inspection) };
            let expected = self.shared.arrays + blocks;
            if live != expected {
                found.push(Inconsistency::LiveObjects { is: live, expected });
            }
            found
        });
        found.unwrap_or_default()
    }
}

impl Shareable for KernelC {
    fn share(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), warnings: 0, failed: 0 }
    }

    fn take_last_call(&mut self) -> Option<u64> {
        Some(LAST_CALL.replace(0)).filter(|&call| call != 0)
    }
}

fn check(result: c_int) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        error => Err(Errno::from_return(error)),
    }
}
