//! Creation and teardown.

use super::*;

/// A space that only one of the two takes.
#[test]
fn a_difference_in_creation_is_a_finding() {
    let place = Place::new();
    let tree = place.tree(
        "choosy",
        "int gpu_buddy_init",
        "if (size < chunk_size)",
        "if (size < chunk_size || size == 12 * chunk_size)",
    );
    let Some(tree) = tree else { return };
    let (size, chunk) = ("48K", "4K");
    let (base, out) = (kernel_tree(), place.folder.path());
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--against",
        &base,
        &"--size",
        &size,
        &"--chunk",
        &chunk,
        &"--ops",
        &"1000",
        &"--seed",
        &"1",
        &"--out",
        &out,
    ]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("divergence in creation: EINVAL"), "{stdout}");
    let file = out.join("gpu-buddy-1-0.trace");
    let trace = fs::read_to_string(&file).expect("a trace");
    assert!(trace.ends_with("space size=48K chunk=4K\n"), "{trace}");
    let replay = place.run(&[&"replay", &"--kernel", &tree, &"--against", &base, &file]);
    assert_eq!(replay.status.code(), Some(1));
    // Without a base, a valid space is refused.
    let alone = place.run(&[&"replay", &"--kernel", &tree, &"--against", &"contract", &file]);
    assert_eq!(alone.status.code(), Some(1), "{}", text(&alone.stderr));
    assert!(text(&alone.stdout).contains("valid-arguments"), "{}", text(&alone.stdout));
}

/// The teardown is judged in whatever state an allocator is in.
#[rstest]
#[case::leak("kfree(mm->roots);", ";", "nothing-leaked: the teardown left 1 objects behind")]
#[case::no_merge(
    "__force_merge(mm, start, start + size, order);",
    ";",
    "no-warning: WARNING at drivers"
)]
#[case::wrong_root(
    "start = gpu_buddy_block_offset(mm->roots[i]);",
    "start = 0;",
    "no-warning: WARNING at drivers"
)]
fn a_teardown_that_goes_wrong_is_a_finding(
    #[case] text_of_c: &str,
    #[case] by: &str,
    #[case] says: &str,
) {
    let place = Place::new();
    let Some(tree) = place.tree("teardown", "void gpu_buddy_fini", text_of_c, by) else { return };
    let out = place.folder.path();
    let output = place.run(&[
        &"torture",
        &"--kernel",
        &tree,
        &"--seconds",
        &"20",
        &"--out",
        &out,
        &"--seed",
        &"3",
    ]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains(says), "{stdout}");
    let trace = fs::read_to_string(out.join("gpu-buddy-3-0.trace")).expect("a trace");
    // The comment and the space come before the operations.
    assert!(trace.lines().count() <= 2 + 10, "{trace}");
}

/// The teardown of an allocator in use warns and leaks, as in the kernel, and is no finding. A
/// silent one is.
#[test]
fn a_teardown_of_what_is_in_use_has_to_warn() {
    let place = Place::new();
    let file = place.folder.path().join("in-use.trace");
    fs::write(&file, "space size=16K chunk=4K\na = alloc 4K\nfini\nfree a\n")
        .expect("it is written");
    let usual = place.run(&[&"replay", &"--kernel", &kernel_tree(), &file]);
    assert_eq!(usual.status.code(), Some(0), "{}", text(&usual.stdout));
    assert!(text(&usual.stdout).contains("free a  -> nothing to do"));

    let silent = "if (0) gpu_buddy_assert(";
    let Some(tree) = place.tree("silent", "void gpu_buddy_fini", "gpu_buddy_assert(", silent)
    else {
        return;
    };
    let file_of_c = tree.join(ALLOCATOR);
    let source = fs::read_to_string(&file_of_c).expect("the allocator");
    let (head, fini) = source.split_at(source.find("void gpu_buddy_fini").expect("it is there"));
    let (fini, tail) = fini.split_at(fini.find("EXPORT_SYMBOL").expect("it ends"));
    let fini = fini.replace(silent, "gpu_buddy_assert(").replace("gpu_buddy_assert(", silent);
    fs::write(&file_of_c, format!("{head}{fini}{tail}")).expect("it is written");
    let replay = place.run(&[&"replay", &"--kernel", &tree, &file]);
    assert_eq!(replay.status.code(), Some(1), "{}", text(&replay.stdout));
    assert!(text(&replay.stdout).contains("teardown-warns"), "{}", text(&replay.stdout));
}
