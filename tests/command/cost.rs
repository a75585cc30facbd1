//! The cost of calls: the same on every machine, counted in every walk of every kernel, and
//! compared with a base.

use std::ffi::OsStr;
use std::fs;
use std::process::Output;

use crate::command_line::{command, text};
use crate::common::{copy_of_kernel, edit_allocator, kernel_tree, other_tree, project};
use gpu_buddy::diff::{Implementation, KernelC, Space};
use gpu_buddy::module::Module;
use gpu_buddy::{AllocRequest, GpuBuddyAllocFlag};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

const CHUNK: u64 = 4 << 10;

fn run(arguments: &[&dyn AsRef<OsStr>], environment: &[(&str, &str)]) -> Output {
    let mut command = command(&[]);
    command.env("XDG_CACHE_HOME", crate::common::module_cache());
    command.envs(environment.iter().copied());
    arguments.iter().for_each(|argument| _ = command.arg(argument));
    command.output().expect("it runs")
}

/// A tree with a text of `buddy.c` replaced, the first after another one.
fn planted(after: &str, from: &str, to: &str) -> Option<TempDir> {
    let tree = copy_of_kernel();
    edit_allocator(tree.path(), after, from, to).then_some(tree)
}

/// Every kernel under vendor/linux.
fn kernels() -> Vec<Module> {
    let mut kernels = vec![Module::compiled_in()];
    // The compiled-in tree may be elsewhere.
    let series = project().join("vendor/linux").read_dir().into_iter().flatten();
    kernels.extend(series.map(|entry| {
        let tree = entry.expect("an entry").path();
        Module::open(tree.as_os_str()).unwrap_or_else(|error| panic!("{tree:?}: {error}"))
    }));
    kernels
}

/// An allocator with `holes` separate free blocks of an order, and the allocations between them.
struct Holes {
    kernel: KernelC,
    space: u64,
    between: Vec<<KernelC as Implementation>::Allocation>,
}

impl Holes {
    fn new(module: Module, holes: u64, order: u32) -> Self {
        let size = CHUNK << order;
        let space = 2 * size * holes;
        let mut kernel = KernelC::new(module, Space::new(space, CHUNK))
            .unwrap_or_else(|errno| panic!("{}: {errno}", module.name()));
        let between = (0..holes).map(|index| {
            let start = 2 * size * index;
            let end = start + size;
            let request = AllocRequest { start, end, size, min_block_size: size, ..request() };
            kernel.alloc(&request).expect("it is free")
        });
        let between = between.collect();
        Self { kernel, space, between }
    }

    /// The cost of the last call.
    fn cost(&mut self) -> u64 {
        self.kernel.report().cost.expect("the C is counted")
    }
}

fn request() -> AllocRequest {
    AllocRequest { min_block_size: CHUNK, range: true, ..AllocRequest::default() }
}

/// The cost of a walk among this many holes; `None` if a kernel does not have it.
type Walk = fn(Module, u64) -> Option<u64>;

/// Many single chunks, each searched for from the roots on.
fn range(module: Module, holes: u64) -> Option<u64> {
    let mut it = Holes::new(module, holes, 0);
    let (size, end) = (holes * CHUNK, it.space);
    it.kernel.alloc(&AllocRequest { size, end, ..request() }).expect("room");
    Some(it.cost())
}

/// Each hole is tried, and none is large enough.
fn contiguous(module: Module, holes: u64) -> Option<u64> {
    let mut it = Holes::new(module, holes, 1);
    let flags = GpuBuddyAllocFlag::Contiguous.into();
    let end = it.space;
    let request = AllocRequest { size: 3 * CHUNK, end, flags, range: false, ..request() };
    module.has("contiguous").then(|| {
        assert!(it.kernel.alloc(&request).is_err(), "there is no room");
        it.cost()
    })
}

/// The holes are cleared, so that nothing merges until it is forced to.
fn cleared(module: Module, holes: u64) -> Holes {
    let mut it = Holes::new(module, holes, 0);
    it.between.drain(..).collect::<Vec<_>>().into_iter().for_each(|allocation| {
        it.kernel.free(allocation, true);
    });
    it
}

fn reset_clear(module: Module, holes: u64) -> Option<u64> {
    let mut it = cleared(module, holes);
    module.has("reset_clear").then(|| {
        it.kernel.reset_clear(true);
        it.cost()
    })
}

fn fini(module: Module, holes: u64) -> Option<u64> {
    let mut it = cleared(module, holes);
    module.has("clear").then(|| {
        it.kernel.fini();
        it.cost()
    })
}

/// Allocates everything as one block, for which everything is merged.
fn force_merge(module: Module, holes: u64) -> Option<u64> {
    let mut it = cleared(module, holes);
    let (size, end) = (it.space, it.space);
    module.has("clear").then(|| {
        let request = AllocRequest { size, end, min_block_size: size, range: false, ..request() };
        it.kernel.alloc(&request).expect("all is free");
        it.cost()
    })
}

/// Frees a list of many blocks.
fn free_list(module: Module, holes: u64) -> Option<u64> {
    let mut it = Holes::new(module, holes, 0);
    let (size, end) = (holes * CHUNK, it.space);
    let all = it.kernel.alloc(&AllocRequest { size, end, ..request() }).expect("room");
    it.kernel.free(all, false);
    Some(it.cost())
}

#[rstest]
#[case::range(range)]
#[case::contiguous(contiguous)]
#[case::reset_clear(reset_clear)]
#[case::fini(fini)]
#[case::force_merge(force_merge)]
#[case::free_list(free_list)]
fn every_walk_is_counted_in_every_kernel(#[case] walk: Walk) {
    for module in kernels() {
        let Some(few) = walk(module, 64) else { continue };
        let many = walk(module, 256).expect("as before");
        println!("{}: {few} steps, and {many} with four times as many holes", module.name());
        assert!(few > 64, "{}: {few} steps", module.name());
        assert!(many > 3 * few, "{}: {few} and {many} steps", module.name());
    }
}

/// The steps of each call that was made, as `replay --cost` prints them.
fn steps(output: &Output) -> Vec<u64> {
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    let calls = stdout.lines().skip(1).take_while(|line| line.starts_with(' '));
    let numbers = calls.filter_map(|line| line.split_whitespace().next()).filter(|&it| it != "-");
    numbers.map(|number| number.replace(',', "").parse().expect("a number")).collect()
}

const TRACE: &str = "space size=1M chunk=4K\na = alloc 60K\nb = alloc 8K align=8K contiguous\n\
                     free a cleared\nc = alloc 100K topdown\nreset clear\nfree b\nfini\n";

#[test]
fn the_compiler_does_not_change_what_a_call_costs() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("a.trace");
    fs::write(&file, TRACE).expect("it is written");
    let usual = match other_tree() {
        None => run(&[&"replay", &"--cost", &file], &[]),
        Some(tree) => run(&[&"replay", &"--cost", &"--kernel", &tree, &file], &[]),
    };
    let usual = steps(&usual);
    assert_eq!(usual.len(), TRACE.lines().count() - 1);
    assert!(usual.iter().all(|&steps| steps > 0), "{usual:?}");
    for flags in ["-O0", "-O3 -fno-inline"] {
        let tree = kernel_tree();
        let output = run(&[&"replay", &"--cost", &"--kernel", &tree, &file], &[("CFLAGS", flags)]);
        assert_eq!(steps(&output), usual, "{flags}");
    }
}

/// An edit that makes the code slow, with the same answers.
struct Slow {
    after: &'static str,
    from: &'static str,
    to: &'static str,
    /// The kind of call that becomes slow.
    kind: &'static str,
}

/// The last block of a tree is searched from the first one.
const WHOLE_TREE: Slow = Slow {
    after: "rbtree_last_free_block(struct",
    from: "rb_last(root)",
    to: "({ struct rb_node *last = rb_first(root); \
         while (last && rb_next(last)) last = rb_next(last); last; })",
    kind: "alloc",
};

/// A search visits halves that it could skip.
const WHOLE_SPACE: Slow = Slow {
    after: "static int __alloc_range(",
    from: "if (!overlaps(start, end, block_start, block_end))",
    to: "if (!overlaps(start, end, block_start, block_end) && !gpu_buddy_block_is_split(block))",
    kind: "alloc",
};

/// For each block of a list, the rest of the list is walked.
const REST_OF_LIST: Slow = Slow {
    after: "static void __gpu_buddy_free_list(",
    from: "gpu_buddy_free_block(mm, block);",
    to: "for (struct gpu_buddy_block *rest = block; !list_entry_is_head(rest, objects, link); \
         rest = list_next_entry(rest, link)) ; gpu_buddy_free_block(mm, block);",
    kind: "f",
};

/// For each block in a tree, the teardown walks all trees.
const ALL_TREES: &str = "size = mm->size; \
    for (int t = 0; t < 2; t++) for (int o = 0; o <= mm->max_order; o++) \
    for (struct rb_node *n = rb_first(&mm->free_trees[t][o]); n; n = rb_next(n)) \
    for (int p = 0; p <= mm->max_order; p++) \
    for (struct rb_node *m = rb_first(&mm->free_trees[0][p]); m; m = rb_next(m)) ;";

/// The teardown looks into each tree once more for each root: some hundred steps.
const EACH_ROOT: &str = "size = mm->size; \
    for (int r = 0; r < mm->n_roots; r++) for (int o = 0; o <= mm->max_order; o++) \
    { (void)rb_first(&mm->free_trees[0][o]); (void)rb_first(&mm->free_trees[1][o]); }";

/// Nobody waits for a teardown, as long as it does not take long.
#[test]
fn a_teardown_may_take_some_steps_more() {
    let (base, folder) = (kernel_tree(), TempDir::new().expect("a folder"));
    let file = folder.path().join("a.trace");
    let differences = |teardown, trace: &str| {
        fs::write(&file, trace).expect("it is written");
        let tree = planted("void gpu_buddy_fini(", "size = mm->size;", teardown)?;
        let compare: [&dyn AsRef<OsStr>; 5] = [&"compare", &tree.path(), &base, &"--json", &file];
        let report: Value = serde_json::from_slice(&run(&compare, &[]).stdout).expect("JSON");
        let differences = report["differences"].as_array().expect("an array");
        let kind = |it: &Value| it["kind"].as_str().expect("a kind").to_owned();
        Some((tree, differences.iter().map(kind).collect::<Vec<_>>()))
    };
    // 200 clear blocks, and as many dirty ones between them, which do not merge.
    let block =
        |index: u64| format!("x{index} = alloc 4K range={}K..{}K\n", 8 * index, 8 * index + 4);
    let blocks: String = (0..200).map(block).collect();
    let freed: String = (0..200).map(|index| format!("free x{index} cleared\n")).collect();
    let many = format!("space size=1600K chunk=4K\n{blocks}{freed}fini\n");
    let Some((_tree, kinds)) = differences(ALL_TREES, &many) else { return };
    assert_eq!(kinds, ["fini: cost"]);
    let few = "space size=1020M chunk=4K\nfini\n";
    let Some((tree, kinds)) = differences(EACH_ROOT, few) else { return };
    assert_eq!(kinds, [""; 0]);
    // Yet it is more than twice as much.
    let slow = steps(&run(&[&"replay", &"--cost", &"--kernel", &tree.path(), &file], &[]));
    let usual = steps(&run(&[&"replay", &"--cost", &file], &[]));
    assert!(slow[0] > 2 * usual[0] && slow[0] > 200, "{slow:?} {usual:?}");
}

#[rstest]
#[case::whole_tree(WHOLE_TREE)]
#[case::whole_space(WHOLE_SPACE)]
#[case::rest_of_list(REST_OF_LIST)]
fn what_costs_more_than_the_base_is_found(#[case] slow: Slow) {
    let Some(tree) = planted(slow.after, slow.from, slow.to) else { return };
    let (base, folder) = (kernel_tree(), TempDir::new().expect("a folder"));
    let pair: [&dyn AsRef<OsStr>; 4] = [&"--kernel", &tree.path(), &"--against", &base];

    let torture: [&dyn AsRef<OsStr>; 8] =
        [&"torture", &"--json", &"--seed", &"2", &"--seconds", &"20", &"--out", &folder.path()];
    let output = run(&[&torture[..], &pair[..]].concat(), &[]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let failure = &report["failures"][0];
    let finding = failure["finding"].as_str().expect("one");
    assert!(finding.starts_with("divergence in cost: "), "{report}");
    // More than 100 steps take that many blocks or more, in some order.
    assert!(failure["shrunk_to"].as_u64().expect("a number") <= 30, "{report}");

    // `replay --cost` shows it in the trace.
    let file = failure["file"].as_str().expect("a file");
    let replay: [&dyn AsRef<OsStr>; 2] = [&"replay", &file];
    let output = text(&run(&[&replay[..], &pair[..]].concat(), &[]).stdout);
    assert!(output.contains("** divergence in cost: "), "{output}");

    let compare: [&dyn AsRef<OsStr>; 8] =
        [&"compare", &tree.path(), &base, &"--json", &"--seed", &"1", &"--seconds", &"3"];
    let output = run(&compare, &[]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let differences = report["differences"].as_array().expect("an array");
    let kinds = || differences.iter().map(|it| it["kind"].as_str().expect("a kind"));
    // An allocation may free a list as well.
    assert!(kinds().any(|kind| kind.starts_with(slow.kind)), "{report}");
    assert!(kinds().all(|kind| kind.ends_with(": cost")), "{report}");
}

#[test]
fn the_most_expensive_calls_come_with_traces() {
    let folder = TempDir::new().expect("a folder");
    let torture: [&dyn AsRef<OsStr>; 8] =
        [&"torture", &"--cost", &"--seed", &"1", &"--ops", &"20000", &"--out", &folder.path()];
    let output = run(&torture, &[]);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    let (before, table) = stdout.split_once("most expensive calls").expect("a table");
    assert!(before.contains(", 0 failed\n"), "{stdout}");
    assert!(stdout.lines().count() <= 24, "it fits on a screen: {stdout}");
    assert!(table.contains("alloc "), "{stdout}");

    let output = run(&[&torture[..], &[&"--json"]].concat(), &[]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let costs = report["costs"].as_array().expect("an array");
    let number = |value: &Value| value.as_u64().expect("a number");
    assert!(costs.is_sorted_by_key(|cost| core::cmp::Reverse(number(&cost["steps"]))));
    let mut examples = 0;
    for cost in costs.iter().filter(|cost| !cost["example"].is_null()) {
        let (steps, example) = (number(&cost["steps"]), &cost["example"]);
        // Shrinking may lose a tenth.
        let shown = number(&example["steps"]);
        assert!(shown >= steps - steps / 10, "{cost}");
        let replay: [&dyn AsRef<OsStr>; 3] =
            [&"replay", &"--cost", &example["file"].as_str().expect("a file")];
        assert_eq!(self::steps(&run(&replay, &[])).last(), Some(&shown), "{cost}");
        examples += 1;
    }
    assert!(examples > 5, "{report}");
}
