//! Writes what contrib/record.bt would write about the calls of this crate's C.

use std::collections::BTreeMap;
use std::fmt::Write;

use gpu_buddy::diff::{Id, Operation, Space, Trace};
use gpu_buddy::{AllocRequest, ffi};

/// An allocator of the raw layer, and the lines of its calls.
pub struct Recorder {
    mm: Box<ffi::gpu_buddy>,
    lists: BTreeMap<Id, Box<ffi::list_head>>,
    /// The time. Each allocator has its own clock, with other steps.
    time: u64,
    step: u64,
    thread: u64,
    /// No more blocks of a list are written.
    most_blocks: usize,
    /// Each call's line with its blocks.
    pub calls: Vec<(u64, String)>,
}

impl Recorder {
    pub fn new(space: Space, thread: u64, most_blocks: usize) -> Self {
        let mut mm = Box::new(ffi::gpu_buddy::default());
        // SAFETY: `mm` is there to be initialised, and stays in its box.
        let result = unsafe { ffi::gpu_buddy_init(&raw mut *mm, space.size, space.chunk_size) };
        let (step, lists, calls) = (1000 + thread, BTreeMap::new(), Vec::new());
        let mut recorder = Self { mm, lists, time: 1_000_000, step, thread, most_blocks, calls };
        let Space { size, chunk_size, .. } = space;
        recorder.line("init", format_args!("{size} {chunk_size} {result}"));
        recorder
    }

    fn mm(&mut self) -> *mut ffi::gpu_buddy {
        &raw mut *self.mm
    }

    fn line(&mut self, call: &str, rest: std::fmt::Arguments<'_>) {
        self.time += self.step;
        let (time, thread, mm) = (self.time, self.thread, self.mm().addr());
        self.calls.push((time, format!("{call} {time} {thread} {mm:#x} {rest}\n")));
    }

    fn blocks(&mut self, id: Id) {
        let blocks = blocks(&self.lists[&id]);
        let (time, thread) = (self.time, self.thread);
        let line = &mut self.calls.last_mut().expect("the call's").1;
        for &block in blocks.iter().take(self.most_blocks) {
            // SAFETY: it is an allocated block of this allocator.
            let header = unsafe { (*block).header };
            writeln!(line, "block {time} {thread} {:#x} {header:#x}", block.addr()).unwrap();
        }
        if blocks.len() > self.most_blocks {
            writeln!(line, "more {time} {thread}").unwrap();
        }
    }

    pub fn apply_all(&mut self, trace: &Trace) {
        trace.operations.iter().for_each(|operation| self.apply(operation));
    }

    pub fn apply(&mut self, operation: &Operation) {
        let mm = self.mm();
        match *operation {
            Operation::Alloc { id, ref request } => {
                self.lists.insert(id, ffi::list_head::boxed());
                self.alloc(id, request);
            }
            Operation::AllocOnto { id, ref request } if self.lists.contains_key(&id) => {
                self.alloc(id, request);
            }
            Operation::Free { id, cleared } => {
                let Some(mut list) = self.lists.remove(&id) else { return };
                self.free(&mut list, cleared);
            }
            Operation::FreeBlock { id, index, cleared } => {
                let Some(list) = self.lists.get(&id) else { return };
                let Some(&block) = blocks(list).get(index) else { return };
                // SAFETY: an allocated block is on this list, which is ours.
                let clear = unsafe {
                    let link = &raw mut (*block).__bindgen_anon_1.link;
                    ((*(*link).prev).next, (*(*link).next).prev) = ((*link).next, (*link).prev);
                    (*block).header & (1 << 9) != 0
                };
                if clear == cleared {
                    // SAFETY: as above.
                    let header = unsafe { (*block).header };
                    self.line("free-block", format_args!("{:#x} {header:#x}", block.addr()));
                    // SAFETY: it is on no list any more, and not used again.
                    unsafe { ffi::gpu_buddy_free_block(mm, block) };
                } else {
                    let mut taken = ffi::list_head::boxed();
                    // SAFETY: as above; the links of both are ours.
                    unsafe {
                        let (head, link) =
                            (&raw mut *taken, &raw mut (*block).__bindgen_anon_1.link);
                        ((*link).next, (*link).prev) = (head, head);
                        (taken.next, taken.prev) = (link, link);
                    }
                    self.free(&mut taken, cleared);
                }
            }
            Operation::Trim { id, start, new_size } => {
                let Some(list) = self.lists.get_mut(&id) else { return };
                let (head, mut given) = (&raw mut **list, start);
                let given = given.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
                // SAFETY: the list is one of allocated blocks of `mm`, or empty; `given` is
                // null or points to a number.
                let result = unsafe { ffi::gpu_buddy_block_trim(mm, given, new_size, head) };
                let (has, start) = (u8::from(start.is_some()), start.unwrap_or(0));
                let head = head.addr();
                self.line("trim", format_args!("{head:#x} {has} {start} {new_size} {result}"));
                self.blocks(id);
            }
            Operation::ResetClear { clear } => {
                self.line("reset", format_args!("{}", u8::from(clear)));
                // SAFETY: `mm` is initialised, and used by this thread alone.
                unsafe { ffi::gpu_buddy_reset_clear(mm, clear) };
            }
            _ => {}
        }
    }

    fn alloc(&mut self, id: Id, request: &AllocRequest) {
        let AllocRequest { start, end, size, min_block_size, .. } = *request;
        let mut flags = request.flags.bits() | request.extra_flags;
        flags |= u64::from(request.range) | u64::from(request.top_down) << 1;
        let mm = self.mm();
        let list = self.lists.get_mut(&id).expect("it is there");
        let first = blocks(list).first().map_or(0, |block| block.addr());
        let head = &raw mut **list;
        // SAFETY: `mm` is initialised and used by this thread alone; the list is one of
        // allocated blocks of it, or empty.
        let result = unsafe {
            ffi::gpu_buddy_alloc_blocks(mm, start, end, size, min_block_size, head, flags)
        };
        let head = head.addr();
        let arguments = format_args!(
            "{head:#x} {first:#x} {start} {end} {size} {min_block_size} {flags:#x} {result}"
        );
        self.line("alloc", arguments);
        self.blocks(id);
    }

    fn free(&mut self, list: &mut ffi::list_head, cleared: bool) {
        let flags = if cleared { ffi::GPU_BUDDY_CLEARED } else { 0 };
        let on_list = blocks(list);
        let (first, last) = (on_list.first(), on_list.last());
        let [first, last] = [first, last].map(|block| block.map_or(0, |block| block.addr()));
        let head = std::ptr::from_mut(list);
        let address = head.addr();
        self.line("free", format_args!("{address:#x} {first:#x} {last:#x} {flags:#x}"));
        // SAFETY: the list is one of allocated blocks of `mm`, or empty.
        unsafe { ffi::gpu_buddy_free_list(self.mm(), head, flags as u32) };
    }
}

impl Drop for Recorder {
    /// Everything is freed, and not recorded: the recording has ended.
    fn drop(&mut self) {
        for mut list in std::mem::take(&mut self.lists).into_values() {
            self.free(&mut list, false);
        }
        // SAFETY: `mm` is initialised, and not used again.
        unsafe { ffi::gpu_buddy_fini(self.mm()) };
    }
}

fn blocks(list: &ffi::list_head) -> Vec<*mut ffi::gpu_buddy_block> {
    // SAFETY: the list is one of allocated blocks, or empty, and is not changed here.
    unsafe { ffi::blocks(list).collect() }
}
