//! Loads shared libraries into one process, each one's symbols visible to the next.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::transmute_copy;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;
const RTLD_GLOBAL: c_int = 0x100;

#[derive(Clone, Copy)]
struct Library(*mut c_void);

impl Library {
    fn open(path: &str) -> Self {
        let name = CString::new(path).expect("no zero");
        // SAFETY: the name is a string, and the library's constructors are those of Rust.
        let library = unsafe { dlopen(name.as_ptr(), RTLD_NOW | RTLD_GLOBAL) };
        // SAFETY: after a failure there is a text.
        assert!(!library.is_null(), "{:?}", unsafe { CStr::from_ptr(dlerror()) });
        Self(library)
    }

    fn function<F: Copy>(self, name: &CStr) -> F {
        // SAFETY: the library is open.
        let function = unsafe { dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null(), "{name:?}");
        // SAFETY: the callers below name the types that shared.rs has.
        unsafe { transmute_copy(&function) }
    }

    fn live(self) -> usize {
        self.function::<extern "C" fn() -> usize>(c"edges_live")()
    }

    fn call(self, name: &CStr) {
        self.function::<extern "C" fn()>(name)()
    }

    fn bug(self) -> u32 {
        self.function::<extern "C" fn() -> u32>(c"edges_bug")()
    }
}

fn main() {
    let libraries: Vec<_> = std::env::args().skip(1).map(|path| Library::open(&path)).collect();
    let [first, second] = libraries[..] else { panic!("two libraries are needed") };
    assert_ne!(first.0, second.0);

    // Each counts its own.
    second.call(c"edges_hold");
    assert_eq!(first.live(), 0);
    assert_ne!(second.live(), 0);
    let live = second.live();
    first.call(c"edges_hold");
    assert_eq!((first.live(), second.live()), (live, live));

    // A BUG is caught where it was raised, in either.
    let line = second.bug();
    assert_eq!(first.bug(), line);
    for library in [second, first, second] {
        library.call(c"edges_safe");
    }
    println!("done");
}
