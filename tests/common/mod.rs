//! What several tests share. Each test file uses a part of it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use gpu_buddy::{
    Alignment, AllocRequest, AllocatedBlocks, GpuBuddy, GpuBuddyAllocFlags, GpuBuddyAllocMode,
    GpuBuddyParams, KERNEL, Result, ffi,
};

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
/// The chunk size of most tests.
pub const CHUNK: u64 = 4 * KIB;

pub fn alignment(bytes: u64) -> Alignment {
    Alignment::new_checked(bytes as usize).expect("a power of two")
}

pub fn params(base_offset: u64, size: u64, chunk_size: u64) -> GpuBuddyParams {
    GpuBuddyParams { base_offset, size, chunk_size: alignment(chunk_size) }
}

/// A space of `size` bytes from 0 on, in chunks of 4 KiB.
pub fn space(size: u64) -> GpuBuddy {
    GpuBuddy::new(params(0, size, CHUNK)).expect("a new space")
}

/// Allocates anywhere, in blocks of at least a chunk.
pub fn simple(
    buddy: &GpuBuddy,
    size: u64,
    flags: impl Into<GpuBuddyAllocFlags>,
) -> Result<AllocatedBlocks> {
    buddy.alloc_blocks(GpuBuddyAllocMode::Simple, size, buddy.chunk_size(), flags)
}

/// Takes `size` bytes at `start`, and nothing else.
pub fn exact(buddy: &GpuBuddy, start: u64, size: u64) -> Result<AllocatedBlocks> {
    let mode = GpuBuddyAllocMode::Range(start..start + size);
    buddy.alloc_blocks(mode, size, buddy.chunk_size(), GpuBuddyAllocFlags::empty())
}

/// The offset and the size of each block.
pub fn extents(blocks: &AllocatedBlocks) -> Vec<(u64, u64)> {
    blocks.iter().map(|block| (block.offset(), block.size())).collect()
}

/// Small numbers without a pattern that matters, the same on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len() as u64) as usize]
    }
}

/// Runs `f`, which gets a place to note what it is about to do, and panics with
/// the last note where that takes longer than `limit`.
pub fn within<N: std::fmt::Debug + Send + 'static>(
    limit: Duration,
    f: impl FnOnce(&dyn Fn(N)) + Send + 'static,
) {
    let (sender, receiver) = channel();
    let note = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let last = std::sync::Arc::clone(&note);
    let worker = thread::spawn(move || {
        // Dropped at the end, or as a panic unwinds.
        let _sender: std::sync::mpsc::Sender<()> = sender;
        f(&|next| *note.lock() = Some(next));
    });
    match receiver.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => panic!("not done within {limit:?}: {:?}", last.lock()),
        _ => {
            if let Err(panic) = worker.join() {
                eprintln!("the last call: {:?}", last.lock());
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// An allocator of the raw layer, at a fixed address, torn down when it is
/// dropped. It is used by one thread and is not to be used after a BUG.
pub struct Raw(Box<ffi::gpu_buddy>);

impl Raw {
    /// The error number of `gpu_buddy_init`, negative, where it fails.
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

    /// Allocates anywhere and panics where there is no room.
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

pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tree of the kernel that is compiled in.
pub fn kernel_tree() -> PathBuf {
    PathBuf::from(env!("GPU_BUDDY_KERNEL_TREE"))
}

/// Whether `vendor/manifest.toml` records this very `buddy.c`. If so, the tests find in
/// it whatever they look for.
pub fn is_recorded() -> bool {
    let manifest = std::fs::read_to_string(project().join("vendor/manifest.toml"));
    let manifest = manifest.expect("a manifest");
    let allocator = KERNEL.files.iter().find(|file| file.path.ends_with("/buddy.c"));
    manifest.contains(allocator.expect("an allocator").sha256)
}

/// Says once what is not tested, and why. The harness does not hold it back, as it does
/// with what a test prints that passes.
pub fn not_tested(what: &str, why: &str) {
    use std::io::Write as _;
    static SAID: parking_lot::Mutex<Vec<String>> = parking_lot::Mutex::new(Vec::new());
    let line = format!("NOT TESTED: {what}, because {why}");
    let mut said = SAID.lock();
    if !said.contains(&line) {
        writeln!(std::io::stderr(), "{line}").expect("it is written");
        said.push(line);
    }
}

/// As [`not_tested`], of what looks for a text in the kernel's files that is not there.
///
/// # Panics
///
/// If the kernel is a recorded one.
pub fn not_found(what: &str, missing: &str) {
    assert!(!is_recorded(), "{what}: this buddy.c is a recorded one, but it has no {missing}");
    not_tested(what, &format!("this buddy.c has no {missing}"));
}

/// A line of a file of the kernel that is compiled in.
pub fn kernel_line(file: &str, line: u32) -> String {
    let text = std::fs::read_to_string(kernel_tree().join(file)).expect(file);
    text.lines().nth(line as usize - 1).unwrap_or_default().trim().to_owned()
}

/// A copy of the files of the kernel that is compiled in.
pub fn copy_of_kernel() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let status = std::process::Command::new("cp")
        .arg("-RL")
        .arg(kernel_tree().join("."))
        .arg(copy.path())
        .status();
    assert!(status.expect("cp runs").success());
    copy
}

/// Replaces a text of the allocator of a tree, where it comes first after another one. A later
/// kernel may not have it any more, and false is the answer.
pub fn edit_allocator(tree: &Path, after: &str, from: &str, to: &str) -> bool {
    let file = tree.join("drivers/gpu/buddy.c");
    let source = std::fs::read_to_string(&file).expect("the allocator");
    let at = source.find(after).and_then(|begin| Some(begin + source[begin..].find(from)?));
    let Some(at) = at else {
        not_found("a patched kernel", &format!("{from:?} after {after:?}"));
        return false;
    };
    let (head, tail) = source.split_at(at);
    std::fs::write(&file, format!("{head}{to}{}", &tail[from.len()..])).expect("it is written");
    true
}

/// The trace of a finding, off its page.
pub fn finding_trace(name: &str) -> String {
    let page = project().join("docs/findings").join(name).with_extension("md");
    let page = std::fs::read_to_string(page).expect(name);
    let (_, trace) = page.split_once("\n```trace\n").expect("a trace");
    trace.split("```").next().expect("its end").to_owned()
}

/// What the kernel's own `kunit.py parse` makes of `ktap`; `None`, and a line on
/// stderr, if there is no such script or no Python.
pub fn kunit_py_parse(ktap: &str) -> Option<std::process::Output> {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let script = kernel_tree().join("tools/testing/kunit/kunit.py");
    if !script.is_file() {
        not_tested("kunit.py parse", &format!("there is no {}", script.display()));
        return None;
    }
    let child = Command::new("python3")
        .arg("-B")
        .arg(&script)
        .arg("parse")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            not_tested("kunit.py parse", "python3 is not installed");
            return None;
        }
        Err(error) => panic!("python3: {error}"),
    };
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(ktap.as_bytes()).expect("the parser reads to the end");
    drop(stdin);
    Some(child.wait_with_output().expect("the parser runs"))
}

/// A target folder for builds that tests start. They share what they build of
/// the dependencies; one test at a time has it.
pub struct NestedTarget {
    path: PathBuf,
    _lock: std::fs::File,
}

impl NestedTarget {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub fn nested_target() -> NestedTarget {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nested");
    std::fs::create_dir_all(&path).expect("a folder");
    let lock = std::fs::File::create(path.join("test.lock")).expect("a lock");
    lock.lock().expect("the lock");
    if !path.join("debug").exists() {
        lend_dependencies(&path.join("debug"));
    }
    NestedTarget { path, _lock: lock }
}

/// Gives a build what was built of the dependencies for this test: cargo takes what it finds
/// fresh, and builds the rest.
fn lend_dependencies(to: &Path) {
    let test = std::env::current_exe().expect("this test");
    let Some(from) = test.parent().and_then(Path::parent) else { return };
    for folder in ["deps", "build", ".fingerprint"] {
        // The compiler replaces its files; cargo writes into those that it has.
        copy_dependencies(&from.join(folder), &to.join(folder), folder == "deps");
    }
}

fn copy_dependencies(from: &Path, to: &Path, link: bool) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder of cargo's").flatten() {
        let name = entry.file_name();
        let own = name.to_string_lossy().replace('_', "-").contains("gpu-buddy");
        let (from, to) = (entry.path(), to.join(&name));
        // Another test's build may be at work: what is gone or not yet there is built again.
        if entry.path().is_dir() {
            if !own {
                copy_dependencies(&from, &to, link);
            }
        } else if !own && link {
            let _ = std::fs::hard_link(from, to);
        } else if !own {
            copy_with_time(&from, &to);
        }
    }
}

fn copy_with_time(from: &Path, to: &Path) {
    let copied = std::fs::copy(from, to).and_then(|_| from.metadata()?.modified());
    if let Ok(time) = copied {
        let file = std::fs::File::options().append(true).open(to);
        let _ = file.and_then(|file| file.set_modified(time));
    }
}

/// Where the build script put what it made: the only one of a package that is
/// not from a registry.
pub fn out_dir(messages: &str) -> PathBuf {
    messages
        .lines()
        .filter(|line| line.contains("\"reason\":\"build-script-executed\""))
        .filter(|line| line.contains("\"package_id\":\"path+file:"))
        .find_map(|line| line.split_once("\"out_dir\":\"")?.1.split('"').next())
        .map(PathBuf::from)
        .expect("cargo says where")
}
