//! `--from`: a tree, a tarball, or a part of one.

use super::*;

#[rstest]
#[case::tree("", "linux-7.3", ".")]
#[case::tar("cf", "linux-7.3", "linux-7.3")]
#[case::tar_gz("czf", "linux-7.3", "linux-7.3")]
#[case::tar_xz("cJf", "linux-7.3", "linux-7.3")]
#[case::dot_folder("cf", "linux-7.3", "./linux-7.3")]
#[case::no_folder("cf", "", ".")]
fn takes_a_tree_or_a_tarball(#[case] mode: &str, #[case] top: &str, #[case] member: &str) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    write_tree(&clone.at("from here").join(top), &tree);
    let mut from = clone.at("from here").join(top);
    if !mode.is_empty() {
        from = clone.at("kernel:1.tarball");
        tar(&clone.at("from here"), mode, &from, &[member]);
    }
    let from = from.to_str().unwrap();

    let text = clone.succeeds(&["--from", from]);
    assert!(text.contains("NOTICE"), "{text}");
    clone.assert_holds("7.3", &tree);
    let revision = clone.revision("7.3");
    let header = format!("series: 7.3\nversion: 7.3.4\nfrom: {from}\nsha256 ");
    assert!(revision.starts_with(&header), "{revision}");
    let wanted = tree.iter().filter(|(path, text)| is_wanted(path, text)).count();
    assert_eq!(revision.lines().filter(|line| line.starts_with("sha256 ")).count(), wanted);

    assert_eq!(clone.succeeds(&[]), "");
    assert!(!clone.at("home/cache").exists());
}

/// A series may have either form, as 6.12 does.
#[rstest]
#[case::tree(false)]
#[case::tarball(true)]
fn takes_the_drm_form(#[case] tarball: bool) {
    let clone = Clone::new();
    let tree = clone.drm_tree("one");
    write_tree(&clone.at("k/linux-6.12.95"), &tree);
    let mut from = "k/linux-6.12.95";
    if tarball {
        tar(&clone.at("k"), "cJf", &clone.at("k.tar.xz"), &["linux-6.12.95"]);
        from = "k.tar.xz";
    }
    let text = clone.succeeds(&["--from", from]);
    let notice = "NOTICE: cargo cannot compile in vendor/linux/6.12, which has the allocator in its \
                  older form, drivers/gpu/drm/drm_buddy.c; use it with --kernel vendor/linux/6.12\n";
    assert!(text.contains(notice), "{text}");
    assert!(!text.contains("absent"), "{text}");
    clone.assert_holds("6.12", &tree);
    assert!(!clone.revision("6.12").contains("absent"));
    assert!(!clone.succeeds(&["--from", from]).contains("vendor/linux/6.12 is"));
    assert_eq!(clone.succeeds(&["--series", "6.12"]), "");

    fs::write(clone.vendored("6.12/drivers/gpu/drm/drm_buddy.c"), "changed\n").unwrap();
    assert!(clone.succeeds(&["--from", from]).contains("vendor/linux/6.12 is"));
    clone.assert_holds("6.12", &tree);
}

#[rstest]
#[case::gpu("gpu", &["drivers/gpu/buddy.c", "include/linux/gpu_buddy.h"])]
#[case::drm("drm", &["drivers/gpu/drm/drm_buddy.c", "include/drm/drm_buddy.h"])]
fn takes_an_allocator_alone(#[case] form: &str, #[case] allocator: &[&str]) {
    let clone = Clone::new();
    let mut tree = clone.tree_of_form(form, "7.3.4", "one");
    let whole = tree.clone();
    tree.retain(|path, _| allocator.contains(&path.as_str()));
    write_tree(&clone.at("k"), &tree);
    let text = clone.succeeds(&["--from", "k"]);
    assert!(text.contains("vendor/linux/local is of an unknown version from /"), "{text}");
    clone.assert_holds("local", &tree);

    let notice = text.lines().find(|line| line.contains("cargo cannot compile in")).unwrap();
    let revision = clone.revision("local");
    for (path, text) in whole.iter().filter(|(path, text)| is_wanted(path, text)) {
        let absent = !tree.contains_key(path);
        let line = format!("absent: {path}\n");
        assert_eq!(revision.contains(&line), absent, "{path} {text}");
        if path.ends_with(".c") || path.ends_with(".h") {
            let named =
                notice.contains(&format!(" {path} ")) || notice.contains(&format!(" {path};"));
            assert_eq!(named, absent, "{path}: {notice}");
        }
    }
    let rust = if form == "gpu" { " rust/kernel/gpu/buddy.rs" } else { "" };
    let absent = format!(
        "absent there, and not needed:{rust} COPYING LICENSES/preferred/ tools/testing/kunit/\n"
    );
    assert!(text.contains(&absent), "{text}");
    assert_eq!(clone.succeeds(&["--from", "k"]), "");
    assert_eq!(clone.succeeds(&["--series", "local"]), "");
}

/// A missing file does not count as a difference from a tested revision.
#[rstest]
fn takes_a_part_of_a_tested_tree() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("whole"), &tree);
    clone.succeeds(&["--from", "whole"]);
    clone.accept("7.3");

    tree.retain(|path, _| path.ends_with(".c") || path.ends_with(".h") || path == "Makefile");
    tree.insert("tools/testing/kunit/kunit.py".into(), "made up, other\n".into());
    write_tree(&clone.at("k"), &tree);
    clone.fails(&["--locked", "--from", "k"], &["the tested 0 in: tools/testing/kunit/kunit.py\n"]);
    fs::remove_dir_all(clone.at("k/tools/testing")).unwrap();
    tree.remove("tools/testing/kunit/kunit.py");

    let text = clone.succeeds(&["--locked", "--from", "k"]);
    assert!(!text.contains("NOTICE"), "{text}");
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.succeeds(&["--locked"]), "");

    fs::remove_file(clone.at("k/lib/rbtree.c")).unwrap();
    let text = clone.succeeds(&["--locked", "--from", "k"]);
    assert!(
        text.contains("cargo cannot compile in vendor/linux/7.3, which lacks lib/rbtree.c;"),
        "{text}"
    );
    assert!(!text.contains("not passed"), "{text}");
}

/// A plain run promises that cargo can compile in the default series.
#[rstest]
#[case::part_of_the_gpu_form("gpu", "lacks lib/rbtree.c; placing it again")]
#[case::drm_form("drm", "drivers/gpu/drm/drm_buddy.c; placing it again")]
fn replaces_a_default_that_cargo_cannot_compile_in(#[case] form: &str, #[case] message: &str) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    let mut other = clone.tree_of_form(form, "7.3.1", "other");
    if form == "gpu" {
        other.remove("lib/rbtree.c");
    }
    write_tree(&clone.at("k"), &other);
    clone.succeeds(&["--from", "k"]);
    assert_eq!(clone.succeeds(&["--series", "7.3"]), "");
    clone.assert_holds("7.3", &other);

    let text = clone.succeeds(&[]);
    assert!(text.contains(message), "{text}");
    clone.assert_holds("7.3", &tree);
}

#[rstest]
fn names_the_series() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from=k", "--series=mine"]);
    clone.assert_holds("mine", &tree);

    tree.insert("Makefile".into(), "VERSION = ../..\nPATCHLEVEL = 3\n".into());
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    clone.assert_holds("local", &tree);
    let mut found = names(&clone.vendored(""));
    found.sort();
    assert_eq!(found, ["local", "mine"]);
}

#[rstest]
fn replaces_other_content() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    write_tree(&clone.at("k"), &tree);
    clone.succeeds(&["--from", "k"]);
    assert_eq!(clone.succeeds(&["--from", "k"]), "");

    fs::remove_file(clone.at("k").join(OPTIONAL)).unwrap();
    tree.remove(OPTIONAL);
    clone.succeeds(&["--from", "k"]);
    assert!(!clone.vendored("7.3").join(OPTIONAL).exists());
    assert!(clone.revision("7.3").contains(&format!("absent: {OPTIONAL}\n")));
    tree.retain(|path, _| !path.starts_with("rust/"));
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.succeeds(&[]), "");
}

/// Older trees have some of the files that the binding is compiled with.
#[rstest]
fn takes_the_parts_of_the_binding_only_beside_it() {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    let part = tree.remove(PART).unwrap();
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.succeeds(&[]);
    clone.assert_holds("7.3", &tree);
    assert!(clone.revision("7.3").contains(&format!("\nabsent: {PART}\n")));
    assert_eq!(clone.succeeds(&[]), "");
    write_tree(&clone.at("k"), &tree);
    let text = clone.succeeds(&["--from", "k"]);
    assert!(text.contains(&format!("absent there, and not needed: {PART}\n")), "{text}");

    tree.insert(PART.into(), part);
    tree.remove(OPTIONAL);
    clone.package("sid", "7.2", "7.2.1-1", &tree);
    clone.succeeds(&["--series", "7.2"]);
    assert!(!clone.vendored("7.2/rust").exists());
    assert!(clone.revision("7.2").contains(&format!("\nabsent: {PART}\n")));
    assert_eq!(clone.succeeds(&["--series", "7.2"]), "");
    fs::remove_dir_all(clone.at("k")).unwrap();
    write_tree(&clone.at("k"), &tree);
    let text = clone.succeeds(&["--from", "k"]);
    assert!(text.contains(&format!("absent there, and not needed: {OPTIONAL}\n")), "{text}");
}

#[rstest]
fn locked_takes_tested_revisions_only() {
    let clone = Clone::new();
    write_tree(&clone.at("k"), &clone.tree("one"));
    clone.fails(&["--locked", "--from", "k"], &["--locked refuses", "drivers/gpu/buddy.c"]);
    assert!(!clone.vendored("7.3").exists());

    clone.succeeds(&["--from", "k"]);
    clone.fails(&["--locked"], &["--locked refuses vendor/linux/7.3"]);
    clone.accept("7.3");
    assert_eq!(clone.succeeds(&["--locked"]), "");
    assert_eq!(clone.succeeds(&["--locked", "--from", "k"]), "");

    fs::write(clone.at("k/lib/rbtree.c"), "changed\n").unwrap();
    let text = clone.fails(&["--locked", "--from", "k"], &["from the tested 0 in: lib/rbtree.c"]);
    assert!(!text.contains("drivers/gpu/buddy.c"), "{text}");
    assert_eq!(clone.succeeds(&["--locked"]), "");
}
