//! The crate `bindings`: the C, as bindgen sees it in a kernel build.
//!
//! There `unsigned long` is `usize`; all else is as in `gpu_buddy::ffi`.

use core::ffi::c_int;

// What is declared below stands in for what has the same name.
pub use ::gpu_buddy::ffi::*;

// `gpu-buddy binding` makes it from the kernel's header.
include!("flags.rs");

/// `unsigned long`, as the kernel crate has it.
#[allow(non_camel_case_types)]
pub type c_ulong = usize;

macro_rules! sizes {
    ($($type:ty: $($name:ident)*;)*) => {
        $($(
            #[allow(missing_docs)]
            pub const $name: $type = ::gpu_buddy::sizes::$name as $type;
        )*)*
    };
}

// As the types of the C's constants are.
sizes! {
    u32: SZ_1K SZ_2K SZ_4K SZ_8K SZ_16K SZ_32K SZ_64K SZ_128K SZ_256K SZ_512K
        SZ_1M SZ_2M SZ_4M SZ_8M SZ_16M SZ_32M SZ_64M SZ_128M SZ_256M SZ_512M
        SZ_1G SZ_2G;
}

/// `gpu_buddy_alloc_blocks()`
///
/// # Safety
///
/// As for the C.
pub unsafe fn gpu_buddy_alloc_blocks(
    mm: *mut gpu_buddy,
    start: u64,
    end: u64,
    size: u64,
    min_block_size: u64,
    blocks: *mut list_head,
    flags: c_ulong,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        ::gpu_buddy::ffi::gpu_buddy_alloc_blocks(
            mm,
            start,
            end,
            size,
            min_block_size,
            blocks,
            flags as u64,
        )
    }
}

/// `INIT_LIST_HEAD()`, which is an inline function of the kernel's own header.
///
/// # Safety
///
/// `list` points to memory for a list head.
#[allow(non_snake_case)]
pub unsafe fn INIT_LIST_HEAD(list: *mut list_head) {
    // SAFETY: as the caller says.
    unsafe { list.write(list_head { next: list, prev: list }) };
}
