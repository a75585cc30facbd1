//! What is compiled when, and by which compiler.

use super::*;

#[test]
fn only_what_has_changed_is_compiled() {
    let cache = warm_cache();
    let tree = Tree::new();
    tree.write("drivers/gpu/inner.inc", "/* one */\n");
    let edited = tree.read(ALLOCATOR);
    tree.write(ALLOCATOR, format!("#include \"inner.inc\"\n{edited}"));
    let everything = work(info(tree.path()).env("XDG_CACHE_HOME", cache.path())).units;
    assert!(everything.len() > 5, "{everything:?}");
    let works = || work(info(tree.path()).env("XDG_CACHE_HOME", cache.path()));
    assert_eq!(works(), NOTHING);

    let edited = tree.read(ALLOCATOR);
    tree.write(ALLOCATOR, &edited);
    assert_eq!(works(), NOTHING, "touched");
    // A change of a byte that is not UTF-8 counts.
    for byte in [0xe8, 0xe9] {
        tree.write(ALLOCATOR, [edited.as_bytes(), b"/* caf", &[byte], b" */\n"].concat());
        assert_eq!(works(), only(&[ALLOCATOR]), "{byte:#x}");
    }
    tree.write(ALLOCATOR, &edited);
    assert_eq!(works(), NOTHING, "as it was");
    let suite = tree.read(SUITE);
    tree.write(SUITE, format!("{suite}/* an edit */\n"));
    assert_eq!(works(), only(&["../shim/module/kunit_suite.c"]));
    tree.write(SUITE, suite);
    // The suite now matters to a unit that includes it.
    tree.write(ALLOCATOR, format!("#if 0\n#include \"tests/gpu_buddy_test.c\"\n#endif\n{edited}"));
    works();
    for file in [SUITE, "drivers/gpu/inner.inc", HEADER] {
        let text = tree.read(file);
        tree.write(file, format!("{text}/* an edit */\n"));
        assert_eq!(works().units, everything, "{file}");
        tree.write(file, text);
    }
}

#[test]
fn headers_from_elsewhere_are_read_each_time() {
    let place = folder();
    let header = place.path().join("linux/elsewhere.h");
    write(&header, "#define ELSEWHERE 1\n");
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include <linux/elsewhere.h>");
    tree.plant("BUG_ON(ELSEWHERE == 2);");
    let mut command = kunit(tree.path());
    command.args(["--filter", "*_limit"]).env("CFLAGS", format!("-I{}", place.path().display()));
    passes(&mut command);
    passes(&mut command);
    write(&header, "#define ELSEWHERE 2\n");
    let output = output(&mut command);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("kernel BUG"));
    // CPATH is not used: no kernel is built with it.
    let mut command = info(tree.path());
    fails(command.env("CPATH", place.path()), &["linux/elsewhere.h has no stand-in"]);
}

#[test]
fn the_environment_names_the_compiler_and_flags() {
    let cache = warm_cache();
    let tree = Tree::new();
    tree.plant("#ifdef PLANTED\nBUG_ON(PLANTED);\n#endif");
    let run = |cc: &str, cflags: &str| {
        let mut command = kunit(tree.path());
        command.args(["--filter", "*_limit"]).env("XDG_CACHE_HOME", cache.path());
        let output = output(command.env("CC", cc).env("CFLAGS", cflags));
        assert_eq!(text(&output.stderr), "");
        output.status.code()
    };
    let cc = SHARED.join("cc").display().to_string();
    assert_eq!(run(&cc, ""), Some(0));
    // CC may have several words, and a relative path.
    fs::copy(SHARED.join("cc"), tree.path().join("mycc")).expect("a copy");
    let relative = |cflags: &str| {
        let mut command = kunit(tree.path());
        command.args(["--filter", "*_limit"]).current_dir(tree.path());
        let output = output(command.env("CC", " env  ./mycc ").env("CFLAGS", cflags));
        assert_eq!(text(&output.stderr), "");
        output.status.code()
    };
    assert_eq!(relative("-O1 -DPLANTED=1"), Some(1));
    // Other flags make another module.
    assert_eq!(relative("-O1  -DPLANTED=0"), Some(0));
}

#[test]
fn a_compiler_that_changes_is_noticed() {
    let Some(small) = series("6.1") else { return };
    let (cache, place) = (folder(), folder());
    let cc = place.path().join("cc");
    for name in ["cc-1", "cc-2"] {
        let version = "[ \"$1\" != --version ] || exec cat \"${0%/*}/version\"";
        let text = RECORDER.replacen('\n', &format!("\n# {name}\n{version}\n"), 1);
        script(&place.path().join(name), &text);
    }
    let works = || {
        let mut command = info(&small);
        work(command.env("CC", &cc).env("XDG_CACHE_HOME", cache.path())).links
    };
    let version = |text: &str| write(&place.path().join("version"), text);
    version("1");
    symlink("cc-1", &cc).expect("a link");
    assert_eq!((works(), works()), (1, 0));
    // A link that leads to another one, as with Debian's alternatives.
    fs::remove_file(&cc).expect("it was there");
    symlink("cc-2", &cc).expect("a link");
    assert_eq!((works(), works()), (1, 0));
    // A wrapper around another one.
    version("2");
    assert_eq!((works(), works()), (1, 0));
}

#[test]
fn clang_compiles_it_too() {
    if Command::new("clang").arg("--version").output().is_err() {
        eprintln!("NOT TESTED: clang is not installed");
        return;
    }
    let ktap = passes(kunit(kernel_tree()).env("CC", "clang"));
    assert!(ktap.contains(" fail:0 "), "{ktap}");
    let tree = Tree::new();
    tree.prepend(ALLOCATOR, "#include <linux/nonexistent.h>");
    let says = ["linux/nonexistent.h has no stand-in", "UPGRADE.md"];
    fails(kunit(tree.path()).env("CC", "clang"), &says);
}

#[rstest]
#[case::no_such_program("nothing-like-that", "nothing-like-that: No such file")]
#[case::no_such_path("/nowhere/cc -m64", "/nowhere/cc: No such file")]
#[case::no_program("/", "/: Permission denied")]
fn a_compiler_that_is_not_there_is_named(#[case] cc: &str, #[case] says: &str) {
    let says = [says, "A C compiler is needed; the environment variable CC can name one"];
    fails(info(kernel_tree()).env("CC", cc), &says);
}

#[test]
fn without_cc_another_compiler_is_found() {
    let place = folder();
    symlink("/usr/bin/gcc", place.path().join("gcc")).expect("a link");
    // gcc finds its own parts by its own path.
    let Some(small) = series("6.1") else { return };
    let mut command = info(small);
    let output = output(command.env_remove("CC").env("PATH", place.path()));
    assert!(!text(&output.stderr).contains("No such file or directory (os error"), "{output:?}");
}

/// A compiler that runs this instead of compiling.
fn instead(script_text: &str) -> TempDir {
    let place = folder();
    let text =
        format!("#!/bin/sh\ncase \"$*\" in *' -c '*) {script_text} ;; esac\nexec cc \"$@\"\n");
    script(&place.path().join("cc"), &text);
    place
}

#[rstest]
#[case::exit("exit 1", "gave no reason (exit status: 1)")]
#[case::signal("kill -9 $$", "gave no reason (signal: 9")]
fn a_compiler_that_fails_without_a_word_is_an_error(#[case] does: &str, #[case] says: &str) {
    let place = instead(does);
    let mut command = info(kernel_tree());
    fails(command.env("CC", place.path().join("cc")), &["does not compile", says]);
}

// Messages of other compilers and linkers.
#[rstest]
#[case::clang("b.c:1:10: fatal error: 'linux/x.h' file not found", "linux/x.h has no stand-in")]
#[case::clang_function("error: call to undeclared function 'f_x'; ISO C99", "have f_x.")]
#[case::clang_name("error: use of undeclared identifier 'F_X'", "have F_X.")]
#[case::gcc_14("error: implicit declaration of function 'f_x' [-W", "have f_x.")]
#[case::type_name("error: unknown type name 'x_t'", "have x_t.")]
#[case::lld("ld.lld: error: undefined symbol: f_x", "have f_x.")]
#[case::full("error: error writing to x.s: No space left on device", "TMPDIR")]
#[case::other("error: expected ';' before '}' token", "UPGRADE.md")]
fn what_a_compiler_says_is_explained(#[case] message: &str, #[case] says: &str) {
    let place = instead(&format!("echo \"{message}\" >&2; exit 1"));
    let mut command = info(kernel_tree());
    fails(command.env("CC", place.path().join("cc")), &[message, says]);
}
