//! Sources that do not compile, and the messages about them.

use super::*;

#[test]
fn a_compile_error_has_the_path_in_the_tree() {
    let tree = Tree::new();
    tree.plant("int planted = ;");
    let line = line_of(&tree.read(ALLOCATOR), "int planted");
    let name = tree.path().display();
    let stderr = fails(
        &mut kunit(tree.path()),
        &[&format!("error: {name} does not compile:"), &format!("\n{ALLOCATOR}:{line}:")],
    );
    assert!(!stderr.contains(".work-") && !stderr.contains("../"), "{stderr}");

    let tree = Tree::new();
    tree.prepend(HEADER, "int planted = ;");
    let stderr = fails(&mut kunit(tree.path()), &[&format!("{HEADER}:1:15: error")]);
    assert!(!stderr.contains(".work-") && !stderr.contains("./"), "{stderr}");
}

#[test]
fn a_header_without_a_stand_in_is_named() {
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include <linux/nonexistent.h>");
    let says = [
        &format!("{ALLOCATOR}:1:"),
        "linux/nonexistent.h has no stand-in under vendor/shim",
        "UPGRADE.md",
    ];
    fails(&mut kunit(tree.path()), &says);
    // The message does not depend on the language of the machine.
    fails(kunit(tree.path()).env("LC_ALL", "de_DE.UTF-8").env("LANGUAGE", "de"), &says);
}

#[rstest]
#[case::undeclared("no_such_function(mm);")]
#[case::declared("extern int no_such_function(void *); no_such_function(mm);")]
#[case::constant("mm->size = no_such_function;")]
fn a_function_without_a_stand_in_is_named(#[case] statement: &str) {
    let tree = Tree::new();
    tree.plant(statement);
    fails(&mut kunit(tree.path()), &["gpu_buddy_init", "have no_such_function", "UPGRADE.md"]);
}

#[test]
fn a_file_of_a_patch_is_found_beside_the_allocator() {
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include \"buddy_internal.h\"");
    tree.plant("BUG_ON(INTERNAL != 1);");
    fails(&mut kunit(tree.path()), &["buddy_internal.h", "UPGRADE.md"]);
    tree.write("drivers/gpu/buddy_internal.h", "#include \"../more.h\"\n");
    tree.write("drivers/more.h", "#define INTERNAL 1\n");
    tree.commit();
    let filter = ["--filter", "*_limit"];
    passes(kunit(tree.path()).args(filter));
    tree.write("drivers/more.h", "#define INTERNAL 2\n");
    assert_eq!(output(kunit(tree.path()).args(filter)).status.code(), Some(1));
    passes(kunit(format!("HEAD@{}", tree.path().display())).args(filter));
}

#[rstest]
#[case::abi("{ 99 }", "the ABI number is 99, but ABI is needed")]
#[case::size("{ ABI, 5 }", "the size of gpu_buddy_module is 5, but")]
fn a_module_of_another_abi_is_refused(#[case] table: &str, #[case] says: &str) {
    let header = project().join("vendor/shim/module/module.h");
    let header = fs::read_to_string(header).expect("module.h");
    let abi = header.split("#define GPU_BUDDY_MODULE_ABI ").nth(1).and_then(|it| it.lines().next());
    let abi = abi.expect("the ABI number");
    let (table, says) = (table.replace("ABI", abi), says.replace("but ABI", &format!("but {abi}")));
    let place = folder();
    let cc = place.path().join("cc");
    script(
        &cc,
        &format!(
            "#!/bin/sh\ncase \"$*\" in *-shared*)\n\
             echo 'unsigned gpu_buddy_module[64] = {table};' |\n\
             cc -shared -x c -o ../module.so -; exit ;; esac\nexec {} \"$@\"\n",
            SHARED.join("cc").display()
        ),
    );
    let stderr = fails(info(kernel_tree()).env("CC", &cc), &[&says]);
    assert!(stderr.contains(".so: "), "{stderr}");
}

#[test]
fn a_failed_expectation_has_the_path_in_the_tree() {
    let tree = Tree::new();
    let suite = tree.read(SUITE);
    let case = "gpu_test_buddy_alloc_limit(struct kunit *test)\n{\n";
    assert!(suite.contains(case));
    tree.write(SUITE, suite.replacen(case, &format!("{case}KUNIT_FAIL(test, \"planted\");\n"), 1));
    let output = output(kunit(tree.path()).args(["--filter", "*_limit"]));
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains(&format!(" at {SUITE}:")), "{stdout}");
}
