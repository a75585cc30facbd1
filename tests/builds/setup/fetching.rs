//! Packages of a mirror, and the cache.

use super::*;

#[rstest]
fn fetches_from_the_first_suite_that_has_it() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    let other = clone.tree("other");
    clone.package("sid", "7.3", "7.3~rc2-1", &other);
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.package("sid", "7.3", "7.3.3-1", &other);
    clone.package("forky", "7.3", "7.3.5-1", &other);
    clone.package("sid", "7.2", "7.2~rc3-1", &other);
    clone.package("oldstable-security", "6.12", "6.12.1-1~deb1", &tree);

    let text = clone.succeeds(&[]);
    assert!(text.contains("downloading linux-source-7.3 7.3.4-1 from sid"), "{text}");
    assert!(text.contains("NOTICE"), "{text}");
    clone.assert_holds("7.3", &tree);
    let header = "series: 7.3\npackage: linux-source-7.3\nversion: 7.3.4-1\nsuite: sid\nsha256 ";
    assert!(clone.revision("7.3").starts_with(header));
    assert_eq!(clone.succeeds(&[]), "");

    clone.package("bookworm-backports", "6.12", "6.12.95-1~bpo12+1", &clone.drm_tree("one"));
    clone.package("bookworm", "6.1", "6.1.9-1", &clone.drm_tree("one"));
    clone.succeeds(&["--all"]);
    assert!(clone.revision("6.12.95").contains("suite: bookworm-backports\n"));
    assert!(clone.revision("6.1").contains("suite: bookworm\n"));
    assert!(clone.revision("7.2").contains("version: 7.2~rc3-1\nsuite: sid\n"));
    assert!(clone.revision("6.12").contains("suite: oldstable-security\n"));
    assert_eq!(clone.downloads(), 5);

    clone.package("sid", "7.3", "7.3.6-1", &other);
    assert_eq!(clone.succeeds(&[]), "");
    clone.succeeds(&["--refresh"]);
    clone.assert_holds("7.3", &other);
    assert!(clone.succeeds(&["--refresh"]).contains("up to date"));
    assert_eq!(clone.downloads(), 6);
}

/// Debian keeps kernels of the drm form in suites that are older than the
/// machine's own.
#[rstest]
fn fetches_the_drm_form() {
    let clone = Clone::new();
    let tree = clone.drm_tree("one");
    clone.package("bookworm", "6.1", "6.1.9-1", &tree);
    clone.package("oldstable-security", "6.1", "6.1.9-1", &tree);
    let text = clone.succeeds(&["--series", "6.1"]);
    assert!(text.contains("NOTICE: cargo cannot compile in vendor/linux/6.1, which"), "{text}");
    clone.assert_holds("6.1", &tree);
    let header = "series: 6.1\npackage: linux-source-6.1\nversion: 6.1.9-1\n\
                  suite: oldstable-security\nsha256 ";
    assert!(clone.revision("6.1").starts_with(header));
    assert_eq!(clone.downloads(), 1);

    fs::write(clone.at("mirror/offline"), "").unwrap();
    assert_eq!(clone.succeeds(&["--series", "6.1"]), "");
    fs::remove_dir_all(clone.vendored("6.1")).unwrap();
    clone.succeeds(&["--series", "6.1"]);
    clone.assert_holds("6.1", &tree);
}

/// The series that replaces the default must be one that cargo can compile in.
#[rstest]
fn takes_no_drm_form_for_the_default() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.4", "7.4.1-1", &clone.drm_tree("one"));
    clone.package("trixie", "7.2", "7.2.1-1", &tree);
    let text = clone.succeeds(&[]);
    let message = "7.4.1-1 in sid has the allocator in its older form, drivers/gpu/drm/drm_buddy.c";
    assert!(text.contains(message), "{text}");
    assert_eq!(names(&clone.vendored("")), ["7.2"]);
    clone.assert_holds("7.2", &tree);
}

#[rstest]
fn fetches_the_release_that_three_numbers_name() {
    let clone = Clone::new();
    let tree = clone.drm_tree("one");
    let other = clone.tree("other");
    clone.package("trixie", "6.12", "6.12.117-1", &other);
    clone.package("trixie", "6.12", "6.12.9-1", &other);
    clone.package("bookworm-backports", "6.12", "6.12.96-1~bpo12+1", &other);
    clone.package("bookworm-backports", "6.12", "6.12.95-2~bpo12+1", &tree);
    clone.package("bookworm-backports", "6.12", "6.12.95-1~bpo12+1", &other);
    clone.package("bookworm-backports", "6.12", "6.12.9-1~bpo12+1", &other);

    clone.succeeds(&["--series", "6.12.95"]);
    clone.assert_holds("6.12.95", &tree);
    let header = "series: 6.12.95\npackage: linux-source-6.12\nversion: 6.12.95-2~bpo12+1\n\
                  suite: bookworm-backports\nsha256 ";
    assert!(clone.revision("6.12.95").starts_with(header), "{}", clone.revision("6.12.95"));
    assert_eq!(names(&clone.vendored("")), ["6.12.95"]);
    assert_eq!(clone.downloads(), 1);
    assert_eq!(clone.succeeds(&["--series", "6.12.95"]), "");

    // Again from the cache, where it is kept under this name.
    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.succeeds(&["--series", "6.12.95"]);
    clone.assert_holds("6.12.95", &tree);
    assert_eq!(clone.downloads(), 1);

    clone.succeeds(&["--series", "6.12", "--series", "6.12.9"]);
    assert!(clone.revision("6.12").contains("version: 6.12.117-1\nsuite: trixie\n"));
    assert!(clone.revision("6.12.9").contains("version: 6.12.9-1\nsuite: trixie\n"));
}

#[rstest]
fn a_second_clone_needs_no_network() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.succeeds(&[]);
    fs::write(clone.at("mirror/offline"), "").unwrap();
    let before = clone.revision("7.3");

    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.succeeds(&[]);
    assert_eq!(clone.revision("7.3"), before);
    fs::write(clone.vendored("7.3/lib/rbtree.c"), "changed\n").unwrap();
    assert!(clone.succeeds(&[]).contains("was changed"));
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.downloads(), 1);

    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.fails(&["--locked"], &["Check the network"]);
}

#[rstest]
#[case::changed("lib/rbtree.c", Some("changed\n"))]
#[case::removed("lib/rbtree.c", None)]
#[case::no_revision("REVISION", None)]
#[case::empty_revision("REVISION", Some(""))]
#[case::other_revision("REVISION", Some("series: 7.2\n"))]
fn fetches_again_after_a_damaged_cache(#[case] path: &str, #[case] text: Option<&str>) {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.succeeds(&[]);
    fs::remove_dir_all(clone.vendored("")).unwrap();
    let path = clone.at("home/cache/gpu-buddy/7.3/7.3.4-1").join(path);
    match text {
        Some(text) => fs::write(path, text).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }

    assert!(clone.succeeds(&[]).contains("damaged or incomplete; removing it"));
    clone.assert_holds("7.3", &tree);
    assert_eq!(clone.downloads(), 2);
    fs::remove_dir_all(clone.vendored("")).unwrap();
    clone.succeeds(&[]);
    assert_eq!(clone.downloads(), 2);
}

#[rstest]
fn a_cache_that_cannot_be_written_is_no_error() {
    let clone = Clone::new();
    clone.package("sid", "7.3", "7.3.4-1", &clone.tree("one"));
    fs::write(clone.at("home/cache"), "in the way").unwrap();
    assert!(clone.succeeds(&[]).contains("could not keep a copy"));
    assert_eq!(clone.succeeds(&[]), "");
}

#[rstest]
fn says_what_to_do_without_network() {
    let clone = Clone::new();
    fs::write(clone.at("mirror/offline"), "").unwrap();
    clone.fails(&[], &["cannot read the index of trixie-backports", "--from PATH"]);
    clone.fails(&["--series", "9.9"], &["Could not resolve"]);
    assert!(names(&clone.vendored("")).is_empty());
}

#[rstest]
fn lists_the_series_there_are() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.1", "7.1.9-1", &tree);
    clone.package("forky", "6.99", "6.99-1", &tree);
    clone.fails(&["--series", "9.9"], &["no suite has linux-source-9.9; there are: 7.1 6.99\n"]);
    clone.fails(&["--series", "9.9.1"], &["no suite has linux-source-9.9; there are: 7.1 6.99\n"]);
    clone.package("forky", "7.1", "7.1.10-1", &tree);
    clone.fails(
        &["--series", "7.1.1"],
        &["no suite has linux-source-7.1 in a version that begins 7.1.1-; there are: 7.1.10-1 7.1.9-1\n"],
    );
    assert_eq!(clone.downloads(), 0);
}

/// The message says what a package lacks. The same version is not fetched again from
/// another suite.
#[rstest]
fn says_what_a_package_lacks() {
    let clone = Clone::new();
    let mut tree = clone.drm_tree("one");
    tree.remove("include/linux/rbtree.h");
    tree.remove("drivers/gpu/drm/tests/drm_buddy_test.c");
    clone.package("oldstable", "6.1", "6.1.9-1", &tree);
    clone.package("bookworm", "6.1", "6.1.9-1", &tree);
    let lacks = "lacks include/linux/rbtree.h drivers/gpu/drm/tests/drm_buddy_test.c";
    clone.fails(
        &["--series", "6.1"],
        &[
            &format!("linux-source-6.1 6.1.9-1 in oldstable {lacks}; looking further\n"),
            &format!("no linux-source-6.1 can be used: 6.1.9-1 in oldstable {lacks}\n"),
        ],
    );
    assert_eq!(clone.downloads(), 1);
    assert!(names(&clone.vendored("")).is_empty());

    tree.remove("drivers/gpu/drm/drm_buddy.c");
    clone.package("bookworm", "6.1", "6.1.8-1", &tree);
    fs::remove_file(clone.at("mirror/bookworm/linux-source-6.1_6.1.9-1.deb")).unwrap();
    let neither = "has neither drivers/gpu/buddy.c nor drivers/gpu/drm/drm_buddy.c";
    clone.fails(
        &["--series", "6.1"],
        &[&format!("can be used: 6.1.9-1 in oldstable {lacks}; 6.1.8-1 in bookworm {neither}\n")],
    );
    // A useless package does not mean that Debian has dropped the series.
    clone.package("sid", "7.3", "7.3.4-1", &clone.tree("one"));
    clone.fails(&["--all"], &["no linux-source-6.1 can be used", "NOTICE: passing over 7.2"]);
    clone.assert_holds("7.3", &clone.tree("one"));
}

#[rstest]
fn passes_over_a_series_that_debian_has_dropped() {
    let clone = Clone::new();
    let tree = clone.tree("one");
    clone.package("sid", "7.3", "7.3.4-1", &tree);
    clone.package("trixie", "6.12", "6.12.117-1", &tree);
    let text = clone.succeeds(&["--all"]);
    for message in [
        "NOTICE: passing over 7.2: no suite has linux-source-7.2; there are: 7.3 6.12\n",
        "NOTICE: passing over 6.12.95: no suite has linux-source-6.12 in a version that begins \
         6.12.95-; there are: 6.12.117-1\n",
        "NOTICE: passing over 6.1: no suite has linux-source-6.1; there are: 7.3 6.12\n",
    ] {
        assert!(text.contains(message), "{text}");
    }
    let mut found = names(&clone.vendored(""));
    found.sort();
    assert_eq!(found, ["6.12", "7.3"]);

    // A series that is named explicitly is a failure.
    clone.fails(&["--series", "7.2"], &["no suite has linux-source-7.2"]);
    // If a suite or the network is missing, nobody knows whether it was dropped.
    fs::create_dir(clone.at("mirror/forky")).unwrap();
    fs::write(clone.at("mirror/forky/unsigned"), "").unwrap();
    clone.fails(
        &["--all"],
        &["no suite has linux-source-7.2; there are: 7.3 6.12; not read: forky\n"],
    );
    fs::write(clone.at("mirror/offline"), "").unwrap();
    clone.fails(&["--all"], &["Check the network"]);
}

#[rstest]
fn a_mirror_without_any_series_is_a_failure() {
    let clone = Clone::new();
    clone.fails(&["--all"], &["no series in vendor/manifest.toml is in any suite of the mirror"]);
    clone.fails(&["--series", "7.3"], &["no suite has linux-source-7.3; there are: none\n"]);
}

#[rstest]
#[case::nothing_there(&[])]
#[case::there_already(&["--series", "7.10"])]
fn takes_the_newest_series_when_the_default_is_gone(#[case] before: &[&str]) {
    let clone = Clone::new();
    let mut tree = clone.tree("one");
    clone.package("trixie", "7.10", "7.10.2-1", &tree);
    clone.package("trixie", "7.9", "7.9.2-1", &tree);
    tree.remove("drivers/gpu/buddy.c");
    clone.package("trixie", "7.11", "7.11.1-1", &tree);
    if !before.is_empty() {
        clone.succeeds(before);
    }
    let text = clone.succeeds(&[]);
    assert!(text.contains("NOTICE: linux-source-7.3 is in no suite any more"), "{text}");
    assert!(text.contains("7.11.1-1 in trixie has no drivers/gpu/buddy.c"), "{text}");
    assert_eq!(names(&clone.vendored("")), ["7.10"]);
    assert!(clone.revision("7.10").contains("instead-of: 7.3\n"));
    assert_eq!(clone.succeeds(&[]), "");
}
