//! Faults planted in a copy of the kernel's suite: each fails its own KUnit case, for the
//! right reason, and no other case. And builds from trees that are broken.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use crate::command_line::{command, text};
use crate::common::{
    self, UNOPTIMISED, WITH_EXAMPLE, copy_of_kernel, nested_cargo, nested_target, out_dir, project,
};
use gpu_buddy::kunit;
use rstest::rstest;

const SUITE: &str = "drivers/gpu/tests/gpu_buddy_test.c";

/// A fault: C code at the beginning of a case.
struct Fault {
    c: &'static str,
    /// Texts that the lines about the failure must contain, in this order.
    reasons: &'static [&'static str],
    /// Whether the case goes on after it.
    goes_on: bool,
}

const FAULTS: [Fault; 6] = [
    Fault {
        c: "KUNIT_EXPECT_EQ(test, 1 + 1, 3);",
        reasons: &["EXPECTATION FAILED at drivers/gpu/tests/gpu_buddy_test.c:"],
        goes_on: true,
    },
    Fault {
        c: "KUNIT_ASSERT_TRUE_MSG(test, false, \"planted %d\\n\", 7);",
        reasons: &["ASSERTION FAILED at drivers/gpu/tests/gpu_buddy_test.c:", "planted 7"],
        goes_on: false,
    },
    Fault {
        c: "WARN_ON(planted.size);",
        reasons: &["WARNING at drivers/gpu/tests/gpu_buddy_test.c:"],
        goes_on: true,
    },
    // It leaves objects of the allocator behind.
    Fault {
        c: "BUG_ON(planted.size);",
        reasons: &["kernel BUG at drivers/gpu/tests/gpu_buddy_test.c:"],
        goes_on: false,
    },
    Fault {
        c: "(void)kmalloc(8, GFP_KERNEL);",
        reasons: &["the case leaked 1 objects"],
        goes_on: true,
    },
    // A fault that the allocator finds by itself: it is torn down in use.
    Fault {
        c: "{ LIST_HEAD(list); \
            gpu_buddy_alloc_blocks(&planted, 0, 0, SZ_4K, SZ_4K, &list, 0); \
            gpu_buddy_fini(&planted); \
            gpu_buddy_init(&planted, SZ_1M, SZ_4K); }",
        reasons: &["WARNING at drivers/gpu/buddy.c:", "the case leaked"],
        goes_on: true,
    },
];

/// C code for the beginning of a case: an allocator in use, the fault, and a line that says
/// that the case went on.
fn planted(fault: &Fault) -> String {
    format!(
        "{{ struct gpu_buddy planted; gpu_buddy_init(&planted, SZ_1M, SZ_4K); {} \
         kunit_info(test, \"went on\\n\"); gpu_buddy_fini(&planted); }}",
        fault.c
    )
}

/// Puts `statement` at the beginning of the function `name`.
fn plant(source: &mut String, name: &str, statement: &str) {
    let declaration = format!("{name}(struct kunit *test)\n{{");
    let places: Vec<_> = source.match_indices(&declaration).collect();
    let [(place, _)] = places[..] else { panic!("{} places like {name}(…) {{", places.len()) };
    source.insert_str(place + declaration.len(), statement);
}

fn cargo(kernel: &str, target: &Path, arguments: &[&str]) -> Command {
    let mut command = nested_cargo(project(), arguments);
    command
        .args(WITH_EXAMPLE)
        .args(UNOPTIMISED)
        .args(["--offline", "--target-dir"])
        .arg(target)
        .env("GPU_BUDDY_KERNEL", kernel);
    command
}

fn succeed(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The lines about each case, up to its result, and whether it passed.
fn results(ktap: &str) -> BTreeMap<&str, (bool, Vec<&str>)> {
    let mut results = BTreeMap::new();
    let mut lines = Vec::new();
    for line in ktap.lines().filter_map(|line| line.strip_prefix("    ")) {
        match line.strip_prefix("not ").unwrap_or(line).strip_prefix("ok ") {
            Some(result) => {
                let name = result.split_once(' ').expect("a number and a name").1;
                results.insert(name, (!line.starts_with("not "), std::mem::take(&mut lines)));
            }
            None => lines.push(line),
        }
    }
    results
}

#[test]
fn a_planted_fault_fails_its_case_alone() {
    let cases: Vec<_> = kunit::cases().iter().map(kunit::Case::name).collect();
    // The first case, and those after the faults, are left as they are.
    let faulty: BTreeMap<_, _> = cases[1..].iter().copied().zip(&FAULTS).collect();
    assert_eq!(faulty.len(), FAULTS.len(), "the suite has too few cases: {cases:?}");

    let kernel = copy_of_kernel();
    let file = kernel.path().join(SUITE);
    let mut source = fs::read_to_string(&file).expect(SUITE);
    for (name, fault) in &faulty {
        plant(&mut source, name, &planted(fault));
    }
    fs::write(&file, source).expect(SUITE);

    let output = command(&["kunit", "--seed", "7", "--kernel", path(kernel.path())])
        .env("XDG_CACHE_HOME", crate::common::module_cache())
        .output()
        .expect("the command runs");
    let ktap = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{ktap}{}", text(&output.stderr));

    let results = results(&ktap);
    assert_eq!(results.len(), cases.len(), "{ktap}");
    for (name, (passed, lines)) in &results {
        let prefix = format!("# {name}: ");
        let Some(fault) = faulty.get(name) else {
            assert!(passed, "{name} failed without a fault:\n{ktap}");
            continue;
        };
        assert!(!passed, "{name} passed with {}:\n{ktap}", fault.c);
        let said: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
        let text = said.join("\n");
        let mut rest = text.as_str();
        for reason in fault.reasons {
            let found = rest.split_once(reason);
            rest = found.unwrap_or_else(|| panic!("{name} says no {reason:?}: {said:?}")).1;
        }
        assert_eq!(said.contains(&"went on"), fault.goes_on, "{name}: {said:?}");
    }
    let failed = FAULTS.len();
    let passed = cases.len() - failed;
    assert!(ktap.contains(&format!("pass:{passed} fail:{failed} skip:0")), "{ktap}");

    if let Some(parsed) = common::kunit_py_parse(&ktap) {
        let stdout = String::from_utf8_lossy(&parsed.stdout);
        assert!(!parsed.status.success());
        assert!(stdout.contains(&format!("passed: {passed}, failed: {failed}")), "{stdout}");
    }
}

#[rstest]
#[case::no_such_series("9.9", &["that series is not under", "Run: ./setup --series 9.9"])]
#[case::no_such_path("/no/such/tree", &["/no/such/tree", "a series such as 7.3, or the path"])]
fn a_kernel_that_is_not_there(#[case] kernel: &str, #[case] says: &[&str]) {
    build_fails(kernel, says);
}

#[test]
fn a_tree_that_lacks_files() {
    let kernel = copy_of_kernel();
    fs::remove_file(kernel.path().join("lib/rbtree.c")).expect("lib/rbtree.c");
    fs::remove_file(kernel.path().join(SUITE)).expect(SUITE);
    build_fails(
        path(kernel.path()),
        &["has no lib/rbtree.c", &format!("no {SUITE}"), "Run ./setup, or set GPU_BUDDY_KERNEL"],
    );
}

#[test]
fn a_tree_that_does_not_compile() {
    let kernel = copy_of_kernel();
    let file = kernel.path().join("drivers/gpu/buddy.c");
    let source = fs::read_to_string(&file).expect("buddy.c");
    fs::write(&file, format!("#include <linux/not_there.h>\n{source}")).expect("buddy.c");
    build_fails(path(kernel.path()), &["not_there.h", "buddy.c does not compile", "UPGRADE.md"]);
}

fn build_fails(kernel: &str, says: &[&str]) {
    let target = nested_target();
    let output = cargo(kernel, target.path(), &["build"]).output().expect("cargo starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for text in says {
        assert!(stderr.contains(text), "no {text:?} in: {stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("stack backtrace"), "{stderr}");
}

/// When a file was written last.
fn modified(path: &Path) -> SystemTime {
    path.metadata().and_then(|file| file.modified()).expect("a file with a time")
}

#[test]
fn a_change_of_buddy_c_compiles_it_and_nothing_else() {
    let kernel = copy_of_kernel();
    let target = nested_target();
    let build = || {
        let arguments = ["build", "--message-format=json"];
        out_dir(&succeed(cargo(path(kernel.path()), target.path(), &arguments)))
    };
    let out = build();
    let times = || {
        ["buddy.o", "rbtree.o", "kunit_suite.o", "bindings.rs", "static_functions.o"]
            .map(|file| (file, modified(&out.join(file))))
    };
    let before = times();
    let now = fs::File::options().append(true).open(kernel.path().join("drivers/gpu/buddy.c"));
    now.and_then(|file| file.set_modified(SystemTime::now())).expect("buddy.c is touched");
    assert_eq!(build(), out);
    for ((file, before), (_, after)) in before.into_iter().zip(times()) {
        assert_eq!(after > before, file == "buddy.o", "{file}");
    }

    // With nothing touched nothing is made.
    let before = times();
    build();
    assert_eq!(before, times());
}
