//! Implements the trait with the C's functions.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;
use std::sync::Arc;

use crate::diff::{
    Accounts, Block, Capabilities, Implementation, Operation, Printed, Report, Shareable, Space,
};
use crate::fault::Fault;
use crate::module::abi::RECORD_ALLOCATED;
use crate::module::{Features, Module};
use crate::{AllocRequest, Errno, FreeTrees, Inconsistency, LogLine, Snapshot, ffi, integrity};

use super::shared::{Shared, State, take_last_call};
use super::{KernelAllocation, KernelC, capabilities};

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
                super::kept_away(request, self.shared.space)
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
            // blocks of `mm`, or empty. Arguments with undefined behaviour are kept away, see
            // `declines`.
            unsafe { alloc(mm, start, end, size, min_block_size, head, flags) }
        })?;
        check(result)
    }

    fn blocks(&self, allocation: &KernelAllocation, blocks: &mut Vec<Block>) {
        let state = self.shared.state.lock();
        // A BUG may have left the list half-changed.
        if state.bug.is_some() || state.finished {
            return;
        }
        let module = self.shared.module;
        let offset = module.table().link_offset as usize;
        blocks.extend(allocation.links().map(|link| {
            // SAFETY: the link is part of an allocated block of this allocator, whose lock is held.
            let record =
                unsafe { module.record(link.cast_const().cast::<c_void>().byte_sub(offset)) };
            Block { offset: record.offset, order: record.order, clear: record.clear }
        }));
    }

    fn free(&mut self, mut allocation: KernelAllocation, cleared: bool) {
        let free_list = self.shared.module.table().free_list;
        let flags = if cleared { ffi::GPU_BUDDY_CLEARED as c_uint } else { 0 };
        let head = allocation.head();
        // SAFETY: the list has allocated blocks of `mm`, whose lock is held. (An unusable allocator
        // is not called; its arena keeps the blocks.)
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
        // SAFETY: the list has allocated blocks of `mm`, whose lock is held; `start` is null or
        // points to a number.
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
            // The last 4095 addresses are error numbers (`IS_ERR()`).
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
        self.shared.fini()
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

    fn creations_without_memory(&self) -> Vec<(Result<(), Errno>, Report)> {
        let mut creations = Vec::new();
        // The init function allocates a few arrays, and a block for each root.
        for nth in 1.. {
            let mut other = Shared::new(self.shared.module, self.shared.space);
            let outcome = other.init(Some(Fault::nth(nth)));
            if other.state.get_mut().arena.failed() == 0 {
                break;
            }
            let leaked = match outcome {
                Ok(()) => other.fini(),
                Err(_) => other.state.get_mut().arena.live(),
            };
            let State { bug, warnings, .. } = other.state.get_mut();
            let leaked = if bug.is_some() { 0 } else { leaked };
            let (bug, warnings) = (*bug, core::mem::take(warnings));
            creations.push((outcome, Report { bug, warnings, leaked, ..Report::default() }));
        }
        creations
    }

    fn printed(&mut self) -> Option<Printed> {
        let text =
            |lines: Vec<LogLine>| -> Vec<_> { lines.into_iter().map(|line| line.text).collect() };
        let state = text(self.print());
        let block_print = self.shared.module.table().block_print;
        let allocated = self.inspect(|_, inspection, _| {
            let mut records = inspection.records.iter();
            records.rfind(|record| record.state == RECORD_ALLOCATED).copied()
        });
        let block = allocated.flatten().zip(block_print).map(|(record, block_print)| {
            // SAFETY: `mm` is initialised and its lock is held; the block is allocated, since
            // nothing was called after it was found to be.
            let lines = self.lines(|mm| unsafe { block_print(mm, record.block.cast_mut()) });
            (record.info().into(), text(lines).into_iter().next().unwrap_or_default())
        });
        Some(Printed { state, block })
    }

    fn free_trees(&self) -> Option<FreeTrees> {
        // SAFETY: `mm` was inspected under the lock, which is still held.
        self.inspect(|mm, inspection, _| unsafe { integrity::free_trees(mm, inspection) })?
    }

    fn scan(&self) -> Vec<Inconsistency> {
        let found = self.inspect(|mm, inspection, live| {
            // SAFETY: `mm` was inspected under the lock, which is still held.
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
        take_last_call()
    }
}

pub(super) fn check(result: c_int) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        error => Err(Errno::from_return(error)),
    }
}
