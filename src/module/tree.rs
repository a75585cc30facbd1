//! The files of a kernel tree, and the features that they show.
//!
//! build.rs includes this file too, for the compiled-in kernel. So it may only use std.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The user's cache folder for this crate, by the environment: `XDG_CACHE_HOME`, or else `.cache` in
/// `HOME`. Paths that are not absolute are ignored, as the XDG specification says. `./setup` has the
/// same rule.
pub fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("gpu-buddy"))
}

/// The paths of a generation's files, relative to the tree.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether names begin with `drm_` instead of `gpu_`.
    pub drm: bool,
    pub allocator: &'static str,
    pub header: &'static str,
    /// The KUnit suite, and its helper for random orders.
    pub suite: &'static str,
    pub random: &'static str,
}

/// The newest first: a newer tree may have a file of the older name that only prints.
pub const LAYOUTS: [Layout; 3] = [
    Layout {
        drm: false,
        allocator: "drivers/gpu/buddy.c",
        header: "include/linux/gpu_buddy.h",
        suite: "drivers/gpu/tests/gpu_buddy_test.c",
        random: "drivers/gpu/tests/gpu_random.c",
    },
    Layout {
        drm: true,
        allocator: "drivers/gpu/drm/drm_buddy.c",
        header: "include/drm/drm_buddy.h",
        suite: "drivers/gpu/drm/tests/drm_buddy_test.c",
        random: "drivers/gpu/drm/lib/drm_random.c",
    },
    // OpenBSD's.
    Layout {
        drm: true,
        allocator: "sys/dev/pci/drm/drm_buddy.c",
        header: "sys/dev/pci/drm/include/drm/drm_buddy.h",
        suite: "sys/dev/pci/drm/tests/drm_buddy_test.c",
        random: "sys/dev/pci/drm/lib/drm_random.c",
    },
];

/// The files besides the allocator that are used unchanged. All other headers are shims.
pub const SUPPORT: [&str; 6] = [
    "include/linux/rbtree.h",
    "include/linux/rbtree_types.h",
    "include/linux/rbtree_augmented.h",
    "include/linux/prandom.h",
    RBTREE,
    PRANDOM,
];

pub const RBTREE: &str = "lib/rbtree.c";
pub const PRANDOM: &str = "lib/random32.c";

impl Layout {
    /// The layout of a tree. `has` says whether a file exists.
    ///
    /// # Errors
    ///
    /// The missing files, as text.
    pub fn find(has: impl Fn(&str) -> bool) -> Result<&'static Self, String> {
        if let Some(layout) = LAYOUTS.iter().find(|layout| has(layout.allocator)) {
            if has(layout.header) {
                return Ok(layout);
            }
            return Err(format!("it has {}, but no {}", layout.allocator, layout.header));
        }
        let names: Vec<_> = LAYOUTS[..2].iter().map(|layout| layout.allocator).collect();
        Err(format!("it is not a kernel tree: it has neither {}", names.join(" nor ")))
    }

    /// The header that the suite's helper includes.
    pub fn random_header(&self) -> String {
        self.random.replace(".c", ".h")
    }

    /// The header's name in an `#include`.
    pub fn header_name(&self) -> &'static str {
        if self.drm { "drm/drm_buddy.h" } else { "linux/gpu_buddy.h" }
    }
}

/// The features of an allocator, as found in its source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Macros for the adapter.
    pub defines: Vec<&'static str>,
}

/// The capabilities: name, macro for the adapter, and what an allocator with it does. In the order
/// of the bits in vendor/shim/module/module.h.
pub const CAPABILITIES: [(&str, &str, &str); 12] = [
    ("clear", "SHIM_HAS_CLEAR", "tells clear memory from dirty"),
    ("reset_clear", "SHIM_HAS_RESET_CLEAR", "makes all free memory clear or dirty"),
    ("contiguous", "SHIM_HAS_CONTIGUOUS", "makes contiguous allocations"),
    ("trim_disable", "SHIM_HAS_TRIM_DISABLE", "leaves an allocation untrimmed on request"),
    ("trim_start", "SHIM_HAS_TRIM_START", "trims a block from a given start on"),
    ("addr_to_block", "SHIM_HAS_ADDR_TO_BLOCK", "finds the allocated block at an address"),
    ("scoreboard", "SHIM_HAS_SCOREBOARD", "counts its blocks by order"),
    (
        "offset_align",
        "SHIM_HAS_OFFSET_ALIGN",
        "aligns an allocation beyond its size without rounding it up",
    ),
    ("lockdep", "SHIM_HAS_LOCKDEP", "asserts that its lock is held"),
    ("get_buddy", "SHIM_HAS_GET_BUDDY", "gives the buddy of a block"),
    (
        "undo_splits",
        "SHIM_HAS_UNDO_SPLITS",
        "takes a free block out of its tree before it undoes a split",
    ),
    ("rounds_up", "SHIM_HAS_ROUNDS_UP", "rounds a size up to min_block_size, and trims"),
];

/// A macro, the file to search, and the text that shows the feature.
const WORDS: [(&str, Place, &str); 17] = [
    ("SHIM_FREE_TREES", Place::Header, "**free_trees;"),
    ("SHIM_FREE_TREE", Place::Header, "*free_tree;"),
    ("SHIM_HAS_TREE_NAMES", Place::Header, "BUDDY_CLEAR_TREE"),
    ("SHIM_HAS_CLEAR", Place::Header, "clear_avail;"),
    ("SHIM_HAS_RESET_CLEAR", Place::Header, "buddy_reset_clear("),
    ("SHIM_HAS_CONTIGUOUS", Place::Header, "BUDDY_CONTIGUOUS_ALLOCATION"),
    ("SHIM_HAS_TRIM_DISABLE", Place::Header, "BUDDY_TRIM_DISABLE"),
    ("SHIM_HAS_ADDR_TO_BLOCK", Place::Header, "buddy_allocated_addr_to_block("),
    ("SHIM_HAS_SCOREBOARD", Place::Header, "*free_scoreboard;"),
    ("SHIM_HAS_OFFSET_ALIGN", Place::Header, "subtree_max_alignment;"),
    ("SHIM_HAS_LOCKDEP", Place::Header, "lock_dep_map;"),
    ("SHIM_HAS_GET_BUDDY", Place::Header, "_get_buddy("),
    ("SHIM_HAS_BLOCK_PRINT", Place::Header, "buddy_block_print("),
    ("SHIM_HAS_UNDO_SPLITS", Place::Source, "buddy_undo_splits("),
    ("SHIM_HAS_ROUNDS_UP", Place::Source, "round_up(size,"),
    ("SHIM_HAS_SUITE", Place::Suite, "kunit_test_suite("),
    ("SHIM_KUNIT_SUITE_HAS_SEED", Place::Suite, "static unsigned int random_seed;"),
];

/// A macro, a function, and the word in the function's arguments that shows the feature.
const ARGUMENTS: [(&str, &str, &str); 3] = [
    ("SHIM_HAS_FREE_FLAGS", "buddy_free_list(", "flags"),
    ("SHIM_HAS_TRIM_START", "buddy_block_trim(", "start"),
    ("SHIM_HAS_PRINTER", "buddy_print(", "drm_printer"),
];

enum Place {
    Header,
    Source,
    Suite,
}

impl Signs {
    pub fn read(layout: &Layout, header: &str, source: &str, suite: Option<&str>) -> Self {
        let mut defines = Vec::new();
        defines.extend(layout.drm.then_some("SHIM_DRM"));
        for (define, place, words) in WORDS {
            let text = match place {
                Place::Header => header,
                Place::Source => source,
                Place::Suite => suite.unwrap_or_default(),
            };
            defines.extend(text.contains(words).then_some(define));
        }
        for (define, function, word) in ARGUMENTS {
            let mut calls = header.split(function).skip(1);
            let has = calls.any(|rest| rest.split(')').next().unwrap_or_default().contains(word));
            defines.extend(has.then_some(define));
        }
        Self { defines }
    }

    pub fn has(&self, define: &str) -> bool {
        self.defines.contains(&define)
    }
}

/// The origin of a unit. It decides which warnings are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Kernel,
    Ours,
}

/// A file to compile.
#[derive(Clone, Debug)]
pub struct Unit {
    pub name: &'static str,
    pub source: PathBuf,
    pub origin: Origin,
    /// Macros with their values.
    pub defines: Vec<(&'static str, String)>,
}

/// The units of a module. `file` returns the path of a file of the tree, or of its replacement;
/// `None` if there is neither.
pub fn units(
    layout: &Layout,
    signs: &Signs,
    shim: &Path,
    file: impl Fn(&str) -> Option<PathBuf>,
) -> Vec<Unit> {
    let kernel = |name, path| {
        let source = file(path)?;
        Some(Unit { name, source, origin: Origin::Kernel, defines: Vec::new() })
    };
    let signs_of = |signs: &Signs| signs.defines.iter().map(|&sign| (sign, "1".into())).collect();
    let mut units: Vec<_> = kernel("buddy", layout.allocator).into_iter().collect();
    units.extend(kernel("rbtree", RBTREE).map(|mut unit| {
        unit.defines.push(("SHIM_DEFINES_RBTREE", "1".into()));
        unit
    }));
    if signs.has("SHIM_HAS_SUITE")
        && let Some(suite) = file(layout.suite)
    {
        let mut defines: Vec<_> = signs_of(signs);
        defines.push(("SHIM_KUNIT_SUITE_FILE", format!("\"{}\"", suite.display())));
        units.push(Unit {
            name: "kunit_suite",
            source: shim.join("module/kunit_suite.c"),
            origin: Origin::Kernel,
            defines,
        });
        units.extend(kernel("random", layout.random));
        units.extend(kernel("random32", PRANDOM));
    }
    units.push(Unit {
        name: "printk",
        source: shim.join("module/printk.c"),
        origin: Origin::Ours,
        defines: Vec::new(),
    });
    units.push(Unit {
        name: "adapter",
        source: shim.join("module/adapter.c"),
        origin: Origin::Ours,
        defines: signs_of(signs),
    });
    units
}

/// The compiler flags of a unit, without optimisation. `headers` is a folder of headers that
/// include those of the tree at `root`.
pub fn flags(root: &Path, shim: &Path, headers: &Path, origin: Origin) -> Vec<String> {
    let mut flags = vec![
        "-std=gnu11".into(),
        "-fPIC".into(),
        format!("-I{}", shim.display()),
        format!("-I{}", headers.display()),
        "-include".into(),
        "linux/kconfig.h".into(),
        "-nostdinc".into(),
        "-fno-strict-aliasing".into(),
        // A BUG unwinds through the C's frames.
        "-fexceptions".into(),
        "-fvisibility=hidden".into(),
        // BUGs and warnings report paths inside the kernel tree.
        format!("-fmacro-prefix-map={}/=", root.display()),
    ];
    match origin {
        Origin::Kernel => flags.push("-w".into()),
        Origin::Ours => flags.extend(
            // The last two are off because the kernel's inline functions cause these warnings.
            [
                "-Wall",
                "-Wextra",
                "-Wmissing-prototypes",
                "-Wno-unused-parameter",
                "-Wno-sign-compare",
            ]
            .map(String::from),
        ),
    }
    flags
}

/// The text of a header that includes the kernel's own at `path`. After the red-black tree's header
/// come macros that count its steps.
pub fn forwarding_header(name: &str, path: impl std::fmt::Display) -> String {
    let steps = if name == "linux/rbtree.h" { "#include <module/rbtree_steps.h>\n" } else { "" };
    format!("#include \"{path}\"\n{steps}")
}

/// The kernel's own headers that are included unchanged: the name in an `#include`, and the path in
/// the tree.
pub fn headers(layout: &'static Layout) -> impl Iterator<Item = (&'static str, &'static str)> {
    let support =
        SUPPORT.into_iter().filter_map(|path| Some((path.strip_prefix("include/")?, path)));
    std::iter::once((layout.header_name(), layout.header)).chain(support)
}
