//! Several modules in one process.

use super::*;

/// A case of the suite that creates one allocator.
fn limit(module: Module) -> Case {
    let cases = Suite::of(module).expect("a suite").cases();
    cases.into_iter().find(|case| case.name().ends_with("_limit")).expect("the case")
}

fn log(module: Module) -> String {
    let result = limit(module).run(Some(1));
    assert!(result.passed(), "{:?}", result.failures);
    result.log.iter().map(|line| format!("{line}\n")).collect()
}

const COUNTS: &str = "static int calls; pr_info(\"call %d\\n\", ++calls);";

#[test]
fn each_module_has_its_own_state() {
    alone("each_module_has_its_own_state", || {
        let (one, two) = (Tree::new(), Tree::new());
        one.plant(COUNTS);
        two.plant(COUNTS);
        two.prepend(ALLOCATOR, "/* Another digest. */");
        let (first, second) = (Module::open(one.path()), Module::open(two.path()));
        let (first, second) = (first.expect("a module"), second.expect("a module"));
        assert!(log(first).contains("call 1\n"));
        assert!(log(second).contains("call 1\n"));
        assert!(log(first).contains("call 2\n"));
        assert!(log(first).contains("call 3\n"));
        assert!(log(second).contains("call 2\n"));
        assert!(!log(Module::compiled_in()).contains("call"));
    });
}

/// Whether both are the same module.
fn same(one: Module, two: Module) -> bool {
    one.files().as_ptr() == two.files().as_ptr()
}

#[test]
fn what_is_open_is_not_loaded_again() {
    alone("what_is_open_is_not_loaded_again", || {
        let tree = Tree::new();
        tree.plant(COUNTS);
        let open = |path: &Path| Module::open(path).expect("a module");
        let first = open(tree.path());
        assert!(log(first).contains("call 1\n"));
        assert!(same(first, open(tree.path())));
        // Under another name it is the same code, with the same state.
        let place = folder();
        let link = place.path().join("link");
        symlink(tree.path(), &link).expect("a link");
        let other = open(&link);
        assert_eq!(other.name(), link.display().to_string());
        assert!(log(other).contains("call 2\n"));
        assert!(same(other, open(&link)) && same(first, open(tree.path())));

        // A tree that has changed is another module, and the old one stays.
        let before = tree.read(ALLOCATOR);
        tree.write(ALLOCATOR, before.replace("call %d", "edited %d"));
        let edited = open(tree.path());
        assert!(log(edited).contains("edited 1\n"));
        assert_ne!(edited.files(), first.files());
        assert!(log(first).contains("call 3\n"));
        tree.write(ALLOCATOR, before);
        assert!(same(first, open(tree.path())));
    });
}

#[test]
fn threads_that_open_one_tree_get_one_module() {
    alone("threads_that_open_one_tree_get_one_module", || {
        let tree = Tree::new();
        tree.prepend(ALLOCATOR, "/* threads */");
        let modules: Vec<Module> = std::thread::scope(|scope| {
            let open = || Module::open(tree.path()).expect("a module");
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(modules.iter().all(|&module| same(module, modules[0])));
        log(modules[0]);
    });
}

#[test]
fn a_bug_is_caught() {
    alone("a_bug_is_caught", || {
        let tree = Tree::new();
        tree.plant("BUG_ON(size);");
        let line = line_of(&tree.read(ALLOCATOR), "BUG_ON(size);");
        let module = Module::open(tree.path()).expect("a module");
        for _ in 0..2 {
            let failures = limit(module).run(Some(1)).failures.join("\n");
            let expected = format!("kernel BUG at {ALLOCATOR}:{line}");
            assert!(failures.contains(&expected), "{failures}");
        }
        log(Module::compiled_in());
        log(Module::open(kernel_tree()).expect("a module"));
    });
}
