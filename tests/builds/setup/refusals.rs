//! Wrong usage, bad sources, and what the machine does not allow.

use super::*;

#[rstest]
#[case(&["--sereis", "7.3"], "unknown option or argument: --sereis")]
#[case(&["7.3"], "unknown option or argument: 7.3")]
#[case(&["--series"], "--series needs a value")]
#[case(&["--from", ""], "--from needs a value")]
#[case(&["--series", "../7.3"], "not a series name")]
#[case(&["--all", "--series", "7.3"], "exclude each other")]
#[case(&["--from", "k", "--all"], "--from takes one --series")]
fn explains_wrong_usage(#[case] arguments: &[&str], #[case] message: &str) {
    let clone = Clone::new();
    let (code, text) = clone.run(arguments);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains(message), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!clone.vendored("").exists());
}

#[rstest]
fn prints_help() {
    let text = Clone::new().succeeds(&["--help"]);
    for word in [
        "--series",
        "--all",
        "--from",
        "--locked",
        "--refresh",
        "(default: 7.3)",
        "7.3 7.2 6.12.95 6.12 6.1\n",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[rstest]
#[case::nothing_there("gone", "there is no gone")]
#[case::empty_folder(
    "empty",
    "empty has neither drivers/gpu/buddy.c nor drivers/gpu/drm/drm_buddy.c"
)]
#[case::no_header("short", "short lacks include/linux/gpu_buddy.h\n")]
#[case::no_drm_header("drm", "drm lacks include/drm/drm_buddy.h\n")]
#[case::no_allocator(
    "prints",
    "prints has no drivers/gpu/buddy.c, and its drivers/gpu/drm/drm_buddy.c only"
)]
#[case::no_tarball("k/Makefile", "damaged or not a tar file")]
#[case::empty_file("nothing", "damaged or not a tar file")]
#[case::device("/dev/null", "damaged or not a tar file")]
#[case::tarball_without("other.tar", "other.tar has neither drivers/gpu/buddy.c nor")]
#[case::truncated_tar("cut.tar", "damaged")]
#[case::truncated_gz("cut.tar.gz", "damaged")]
#[case::truncated_xz("cut.tar.xz", "damaged")]
#[case::changed_xz("bad.tar.xz", "damaged")]
fn refuses_a_bad_source(#[case] from: &str, #[case] message: &str) {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    let before = clone.revision("7.3");

    fs::create_dir(clone.at("empty")).unwrap();
    fs::write(clone.at("nothing"), "").unwrap();
    tar(&clone.at("k"), "cf", &clone.at("other.tar"), &["Makefile"]);
    // Damage beyond the last wanted file must be seen too.
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    fs::write(clone.at("k/zzz"), noise.take(60_000).collect::<Vec<_>>()).unwrap();
    for (mode, name) in [("cf", "tar"), ("czf", "tar.gz"), ("cJf", "tar.xz")] {
        tar(clone.folder.path(), mode, &clone.at("whole"), &["--sort=name", "k"]);
        let mut bytes = fs::read(clone.at("whole")).unwrap();
        fs::write(clone.at(&format!("cut.{name}")), &bytes[..bytes.len() - 15_000]).unwrap();
        let end = bytes.len() - 15_000;
        bytes[end..end + 9].fill(0x55);
        fs::write(clone.at(&format!("bad.{name}")), &bytes).unwrap();
    }
    tree.remove("include/linux/gpu_buddy.h");
    write_tree(&clone.at("short"), &tree);
    tree.remove("drivers/gpu/buddy.c");
    write_tree(&clone.at("prints"), &tree);
    tree = clone.drm_tree("one");
    tree.remove("include/drm/drm_buddy.h");
    write_tree(&clone.at("drm"), &tree);

    clone.fails(&["--from", from], &[message]);
    assert_eq!(clone.revision("7.3"), before);
    assert_eq!(clone.succeeds(&[]), "");
}

#[rstest]
fn respects_permissions() {
    if is_root() {
        return; // root may write anywhere
    }
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    let mode = |path: &str, mode| {
        fs::set_permissions(clone.at(path), Permissions::from_mode(mode)).unwrap();
    };
    mode("k/lib/rbtree.c", 0);
    clone.fails(&["--from", "k"], &["Permission denied", "lib/rbtree.c"]);
    mode("k/lib/rbtree.c", 0o644);
    mode("k", 0);
    clone.fails(&["--from", "k"], &["cannot read k"]);
    mode("k", 0o755);
    mode("a clone/vendor/linux", 0o555);
    clone.fails(&["--from", "k"], &["cannot write in"]);
    mode("a clone/vendor/linux", 0o755);
    mode("tmp", 0o555);
    clone.fails(&["--from", "k"], &["set TMPDIR"]);
    mode("tmp", 0o755);
}

#[rstest]
#[case::while_unpacking("tar")]
#[case::while_copying("install")]
fn explains_a_full_disk(#[case] program: &str) {
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    tar(&clone.at("k"), "cf", &clone.at("k.tar"), &["."]);
    clone.stub(program, "#!/bin/sh\necho \"$0: x: No space left on device\" >&2; exit 2\n");
    clone.fails(&["--from", "k.tar"], &["the disk is full"]);
    assert!(!clone.vendored("7.3").exists());
}
