//! The two tables between Rust and a kernel's C. The layouts are those of
//! `vendor/shim/module/runtime.h` and `module.h`.

use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

use crate::ffi::{list_head, lockdep_map};

/// Incremented with every change of this file.
pub const MODULE_ABI: u32 = 3;

/// What the C calls: `struct gpu_buddy_runtime`.
#[repr(C)]
pub struct Runtime {
    pub abi: u32,
    pub size: u32,
    pub object_alloc: extern "C-unwind" fn(usize) -> *mut c_void,
    pub object_free: unsafe extern "C-unwind" fn(*mut c_void, usize),
    pub kmalloc: extern "C-unwind" fn(usize, usize) -> *mut c_void,
    pub kfree: unsafe extern "C-unwind" fn(*mut c_void),
    pub cache_create: extern "C-unwind" fn(*const c_char, usize) -> bool,
    pub bug: unsafe extern "C-unwind" fn(*const c_char, *const c_char, c_uint),
    pub warn: unsafe extern "C-unwind" fn(*const c_char, *const c_char, c_uint),
    pub printk: unsafe extern "C-unwind" fn(c_int, *const c_char),
    pub lock_is_held: extern "C-unwind" fn(*const lockdep_map) -> bool,
    pub random_u32: extern "C-unwind" fn() -> u32,
    pub ktime_get: extern "C-unwind" fn() -> i64,
    pub kunit_fail: unsafe extern "C-unwind" fn(
        *mut Kunit,
        *const KunitCheck,
        *const c_char,
        *const c_char,
        *const c_char,
    ),
    pub fail_current_test: unsafe extern "C-unwind" fn(*const c_char, c_uint, *const c_char),
}

/// `struct kunit`
#[repr(C)]
pub struct Kunit {
    pub name: *const c_char,
    pub private: *mut c_void,
}

/// `struct kunit_case`
#[repr(C)]
pub struct KunitCase {
    pub run_case: Option<unsafe extern "C-unwind" fn(*mut Kunit)>,
    pub name: *const c_char,
    pub slow: bool,
}

/// `struct kunit_suite`
#[repr(C)]
pub struct KunitSuite {
    pub name: *const c_char,
    pub suite_init: Option<unsafe extern "C-unwind" fn(*mut Self) -> c_int>,
    pub suite_exit: Option<unsafe extern "C-unwind" fn(*mut Self)>,
    pub init: Option<unsafe extern "C-unwind" fn(*mut Kunit) -> c_int>,
    pub exit: Option<unsafe extern "C-unwind" fn(*mut Kunit)>,
    pub test_cases: *const KunitCase,
}

/// `struct shim_kunit_check`
#[repr(C)]
pub struct KunitCheck {
    pub file: *const c_char,
    pub line: c_uint,
    pub assertion: bool,
}

/// `struct gpu_buddy_record`: one block.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub block: *const c_void,
    pub parent: *const c_void,
    pub left: *const c_void,
    pub right: *const c_void,
    pub offset: u64,
    pub links: [u64; 3],
    pub order: u32,
    pub subtree_max_alignment: u32,
    pub state: u8,
    pub clear: bool,
}

/// Values of [`Record::state`].
pub const RECORD_ALLOCATED: u8 = 1;
pub const RECORD_FREE: u8 = 2;
pub const RECORD_SPLIT: u8 = 3;

/// `struct gpu_buddy_order`: the state of one order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub free_count: u64,
    pub used_count: u64,
    pub heads: [Head; 2],
}

/// The head of a tree or list of free blocks.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub head: *const c_void,
    pub first: *const c_void,
    pub last: *const c_void,
}

/// `struct gpu_buddy_accounts`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub size: u64,
    pub chunk_size: u64,
    pub avail: u64,
    pub clear_avail: u64,
    pub n_roots: u32,
    pub max_order: u32,
}

/// The functions of an allocator: `struct gpu_buddy_module`.
#[repr(C)]
pub struct Table {
    pub abi: u32,
    pub size: u32,
    pub runtime_size: u32,
    pub record_size: u32,
    pub order_size: u32,
    pub accounts_size: u32,
    pub kunit_suite_size: u32,
    pub kunit_case_size: u32,
    pub kunit_check_size: u32,
    pub capabilities: u32,
    pub free_kind: u32,
    pub max_order: u32,
    pub mm_size: u32,
    pub block_size: u32,
    pub link_offset: u32,
    pub node_offset: u32,
    pub load: unsafe extern "C-unwind" fn(*const Runtime) -> c_int,
    pub unload: unsafe extern "C-unwind" fn(),
    pub init: unsafe extern "C-unwind" fn(*mut c_void, u64, u64) -> c_int,
    pub fini: unsafe extern "C-unwind" fn(*mut c_void),
    pub set_lock: Option<unsafe extern "C-unwind" fn(*mut c_void, *mut lockdep_map)>,
    pub alloc_blocks: unsafe extern "C-unwind" fn(
        *mut c_void,
        u64,
        u64,
        u64,
        u64,
        *mut list_head,
        c_ulong,
    ) -> c_int,
    pub free_list: unsafe extern "C-unwind" fn(*mut c_void, *mut list_head, c_uint),
    pub free_block: unsafe extern "C-unwind" fn(*mut c_void, *mut c_void),
    pub block_trim:
        unsafe extern "C-unwind" fn(*mut c_void, *mut u64, u64, *mut list_head) -> c_int,
    pub reset_clear: Option<unsafe extern "C-unwind" fn(*mut c_void, bool)>,
    pub addr_to_block: Option<unsafe extern "C-unwind" fn(*mut c_void, u64) -> *const c_void>,
    pub print: unsafe extern "C-unwind" fn(*mut c_void),
    pub block_print: Option<unsafe extern "C-unwind" fn(*mut c_void, *mut c_void)>,
    pub steps: extern "C-unwind" fn() -> u64,
    pub accounts: unsafe extern "C-unwind" fn(*const c_void, *mut State),
    pub record: unsafe extern "C-unwind" fn(*const c_void, *mut Record),
    pub tree: unsafe extern "C-unwind" fn(*const c_void, *mut Record, usize) -> usize,
    pub orders: unsafe extern "C-unwind" fn(*const c_void, *mut Order, u32),
    pub suite: *const *const KunitSuite,
    pub forget_seed: Option<unsafe extern "C-unwind" fn()>,
}

// SAFETY: nobody writes the table. What it points to is written only by the suite, one case at a
// time.
unsafe impl Sync for Table {}

/// Values of [`Table::free_kind`]; 2 is a list.
pub const FREE_TWO_TREES: u32 = 0;
pub const FREE_TREE: u32 = 1;

#[cfg(feature = "module")]
impl Table {
    /// Checks that the C's layout of the tables is the one here.
    ///
    /// # Errors
    ///
    /// The difference, as text.
    ///
    /// # Safety
    ///
    /// `table` points to a table of any ABI version, which is a static and never written.
    pub unsafe fn check(table: *const Self) -> Result<&'static Self, String> {
        let differs = |what: &str, is: u32, expected: usize| {
            if is as usize == expected {
                return Ok(());
            }
            Err(format!("the {what} is {is}, but {expected} is needed"))
        };
        // SAFETY: a table of every ABI version begins with these two fields.
        let (abi, size) = unsafe { ((*table).abi, (*table).size) };
        differs("ABI number", abi, MODULE_ABI as usize)?;
        differs("size of gpu_buddy_module", size, size_of::<Self>())?;
        // SAFETY: as the caller says, and ABI version and size are those of this type.
        let table = unsafe { &*table };
        differs("size of gpu_buddy_runtime", table.runtime_size, size_of::<Runtime>())?;
        differs("size of gpu_buddy_record", table.record_size, size_of::<Record>())?;
        differs("size of gpu_buddy_order", table.order_size, size_of::<Order>())?;
        differs("size of gpu_buddy_accounts", table.accounts_size, size_of::<State>())?;
        differs("size of kunit_suite", table.kunit_suite_size, size_of::<KunitSuite>())?;
        differs("size of kunit_case", table.kunit_case_size, size_of::<KunitCase>())?;
        differs("size of shim_kunit_check", table.kunit_check_size, size_of::<KunitCheck>())?;
        Ok(table)
    }
}
