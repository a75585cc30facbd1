//! The raw layer: an allocator and a list, each at a fixed address.

use std::thread;

use gpu_buddy::{AllocRequest, ffi};

/// An allocator of the raw layer, at a fixed address, torn down when it is
/// dropped. It is used by one thread, and must not be used after a BUG.
pub struct Raw(Box<ffi::gpu_buddy>);

impl Raw {
    /// The negative error number of `gpu_buddy_init` if it fails.
    pub fn new(size: u64, chunk_size: u64) -> std::result::Result<Self, i32> {
        // SAFETY: zero is a value of each of its numbers and pointers.
        let mut mm: Box<ffi::gpu_buddy> = Box::new(unsafe { std::mem::zeroed() });
        // SAFETY: `mm` is there to be initialised and stays in its box.
        match unsafe { ffi::gpu_buddy_init(&raw mut *mm, size, chunk_size) } {
            0 => Ok(Self(mm)),
            error => Err(error),
        }
    }

    pub fn mm(&mut self) -> *mut ffi::gpu_buddy {
        &raw mut *self.0
    }

    pub fn avail(&self) -> u64 {
        self.0.avail
    }

    /// Appends to `list`; returns what the C does.
    pub fn alloc(&mut self, request: &AllocRequest, list: &mut List) -> i32 {
        let AllocRequest { start, end, size, min_block_size, range, top_down, flags, extra_flags } =
            *request;
        let mut bits = flags.bits() | extra_flags;
        if range {
            bits |= ffi::GPU_BUDDY_RANGE_ALLOCATION;
        }
        if top_down {
            bits |= ffi::GPU_BUDDY_TOPDOWN_ALLOCATION;
        }
        // SAFETY: `mm` is initialised and used by this thread alone; the list is
        // one of allocated blocks of it. Callers pass arguments that the C takes.
        unsafe {
            ffi::gpu_buddy_alloc_blocks(
                self.mm(),
                start,
                end,
                size,
                min_block_size,
                list.head(),
                bits,
            )
        }
    }

    /// Allocates anywhere, and panics if there is no room.
    pub fn simple(&mut self, size: u64) -> List {
        let mut list = List::new();
        let chunk_size = self.0.chunk_size;
        let request = AllocRequest { size, min_block_size: chunk_size, ..AllocRequest::default() };
        assert_eq!(self.alloc(&request, &mut list), 0);
        list
    }

    pub fn trim(&mut self, start: Option<u64>, new_size: u64, list: &mut List) -> i32 {
        let mut start = start;
        let start = start.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
        // SAFETY: as for `alloc`; `start` is null or points to a number.
        unsafe { ffi::gpu_buddy_block_trim(self.mm(), start, new_size, list.head()) }
    }

    pub fn free(&mut self, list: &mut List) {
        // SAFETY: as for `alloc`; the C empties the list.
        unsafe { ffi::gpu_buddy_free_list(self.mm(), list.head(), 0) }
    }

    /// Forgets the allocator, after a BUG.
    pub fn leak(self) {
        std::mem::forget(self);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if !thread::panicking() {
            // SAFETY: `mm` is initialised and not used again.
            unsafe { ffi::gpu_buddy_fini(self.mm()) }
        }
    }
}

/// A list of the C, with its head at a fixed address.
pub struct List(Box<ffi::list_head>);

impl List {
    pub fn new() -> Self {
        let mut head =
            Box::new(ffi::list_head { next: std::ptr::null_mut(), prev: std::ptr::null_mut() });
        let address = &raw mut *head;
        (head.next, head.prev) = (address, address);
        Self(head)
    }

    pub fn head(&mut self) -> *mut ffi::list_head {
        &raw mut *self.0
    }

    /// The blocks on it.
    pub fn blocks(&mut self) -> Vec<*mut ffi::gpu_buddy_block> {
        const LINK: usize = std::mem::offset_of!(ffi::gpu_buddy_block, __bindgen_anon_1);
        let head = self.head();
        let mut blocks = Vec::new();
        let mut next = self.0.next;
        while next != head {
            blocks.push(next.wrapping_byte_sub(LINK).cast());
            // SAFETY: the list is one of allocated blocks, whose links are valid.
            next = unsafe { (*next).next };
        }
        blocks
    }

    /// The offset and the size of each block.
    pub fn extents(&mut self, raw: &mut Raw) -> Vec<(u64, u64)> {
        let mm = raw.mm();
        let extent = |block: *mut ffi::gpu_buddy_block| {
            // SAFETY: it is an allocated block of this allocator.
            unsafe { (ffi::gpu_buddy_block_offset(block), ffi::gpu_buddy_block_size(mm, block)) }
        };
        self.blocks().into_iter().map(extent).collect()
    }
}
