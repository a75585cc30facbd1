//! A wrapper over the raw layer, with a planted double free: `cargo run --example my_wrapper`.
use gpu_buddy::diff::{Block, Implementation, Space, torture::Options};
use gpu_buddy::{AllocRequest, Errno, ffi, wrapper};
use std::sync::{Mutex, PoisonError};

pub(crate) struct Wrapper(Box<Mutex<ffi::gpu_buddy>>);
impl Wrapper {
    fn locked<R>(&self, f: impl FnOnce(*mut ffi::gpu_buddy) -> R) -> R {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _held = ffi::hold(&*self.0); // declares the lock to the monitor
        f(&raw mut *guard)
    }
}
impl Implementation for Wrapper {
    type Allocation = Box<ffi::list_head>;
    fn create(Space { size, chunk_size, .. }: Space) -> Result<Self, Errno> {
        let mut new = Box::new(Mutex::new(ffi::gpu_buddy::default()));
        let mm: *mut _ = new.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the allocator stays in its box until `gpu_buddy_fini`.
        Errno::check(unsafe { ffi::gpu_buddy_init(mm, size, chunk_size) })?;
        Ok(Self(new))
    }
    fn alloc(&mut self, request: &AllocRequest) -> Result<Self::Allocation, Errno> {
        let AllocRequest { size, min_block_size, .. } = *request;
        let mut list = ffi::list_head::boxed();
        // SAFETY: the lock is held, and the list is empty and stays in its box.
        Errno::check(self.locked(|mm| unsafe {
            ffi::gpu_buddy_alloc_blocks(mm, 0, 0, size, min_block_size, &raw mut *list, 0)
        }))?;
        Ok(list)
    }
    fn blocks(&self, list: &Self::Allocation, blocks: &mut Vec<Block>) {
        // SAFETY: everything on the list is an allocated block, and the list does not change.
        let found = unsafe { ffi::blocks(&**list).map(|block| ffi::block_info(block)) };
        blocks.extend(found.map(Block::from));
    }
    fn free(&mut self, mut list: Self::Allocation, _cleared: bool) {
        // SAFETY: the lock is held. But the first of several blocks is freed twice.
        self.locked(|mm| unsafe {
            let first = ffi::blocks(&*list).next().filter(|_| list.next != list.prev);
            first.into_iter().for_each(|block| ffi::gpu_buddy_free_block(mm, block));
            ffi::gpu_buddy_free_list(mm, &raw mut *list, 0);
        });
    }
    fn avail(&self) -> u64 {
        // SAFETY: it is initialised, and locked.
        self.locked(|mm| unsafe { (*mm).avail })
    }
}
impl Drop for Wrapper {
    fn drop(&mut self) {
        // SAFETY: it is initialised, and this is its last use.
        self.locked(|mm| unsafe { ffi::gpu_buddy_fini(mm) });
    }
}
fn main() {
    let (_, failure) = wrapper::find::<Wrapper>(&Options::default());
    print!("{}", failure.expect("a double free is planted"));
}
