//! Findings, shown with their reasons.

use super::*;

/// A broken promise, a known quirk with its name, and the keys that step through findings.
#[test]
fn what_breaks_a_promise_is_explained() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    let trace = "space size=8K chunk=4K\na = alloc 4K end=8K\nfree a cleared\n\
                 b = alloc 4K range=0..8K clear\nfree b\nfini\n";
    browser.open(&place.report(trace, &[&"--against", &"contract"]), "");
    assert!(browser.text("verdict").contains("range-skips-clear"), "{}", browser.text("verdict"));
    assert_eq!(browser.text("position"), "3 of 5");
    assert!(browser.text("call-notes").contains("Known quirk: range-skips-clear"));

    let strict: [&dyn AsRef<OsStr>; 3] = [&"--against", &"contract", &"--strict"];
    browser.open(&place.report(trace, &strict), "#step=0");
    assert!(browser.text("verdict").ends_with("breaks prefers-clear at line 4"));
    browser.press("n");
    assert_eq!(browser.text("position"), "3 of 5");
    let notes = browser.text("call-notes");
    assert!(notes.contains("Breaks a promise: prefers-clear"), "{notes}");
    let why = gpu_buddy::diff::Promise::PrefersClear.explanation();
    assert!(notes.contains(why), "{notes}");
    browser.press("End");
    assert_eq!(browser.text("call-outcome"), "", "it was run");
    browser.press("p");
    assert_eq!(browser.text("position"), "3 of 5");
    browser.assert_quiet();
}

/// A kernel that does not merge freed blocks: both states are shown, and each finding is.
#[test]
fn both_sides_are_shown_where_they_differ() {
    let Some(mut browser) = browser() else { return };
    let tree = copy_of_kernel();
    if !edit_allocator(tree.path(), "__gpu_buddy_free(", "!gpu_buddy_block_is_free(buddy)", "1") {
        return;
    }
    let place = Place::new();
    let (page, base) = (place.path("page.html"), kernel_tree());
    let trace = "space size=64K chunk=4K\na = alloc 4K\nfree a\nb = alloc 4K\n";
    place.report(trace, &[&"--kernel", &tree.path(), &"--against", &base]);
    browser.open(&page, "");
    assert!(browser.text("verdict").ends_with("differ in tree at line 3"));
    let notes = browser.text("call-notes");
    assert!(notes.contains("The two sides differ in: tree"), "{notes}");
    let maps =
        browser.value("[...document.querySelectorAll('#maps canvas')].map((map) => map.ariaLabel)");
    let maps: Vec<_> = maps.as_array().expect("a list").iter().map(|map| map.to_string()).collect();
    let [before, ours, theirs] = maps.as_slice() else { panic!("{maps:?}") };
    assert!(before.contains("5 blocks"), "{maps:?}");
    assert!(ours.contains("5 blocks") && ours.contains("largest free block 32K"), "{maps:?}");
    assert!(theirs.contains("1 block,") && theirs.contains("largest free block 64K"), "{maps:?}");
    browser.press("ArrowRight");
    assert!(browser.text("call-outcome").starts_with("not run"));

    place.page(&[
        &"compare",
        &tree.path(),
        &base,
        &"--seconds",
        &"2",
        &"--seed",
        &"1",
        &"--html",
        &page,
    ]);
    browser.open(&page, "");
    assert!(browser.text("verdict").contains("differ"));
    let count = "document.querySelectorAll('#findings-list button').length";
    let count = browser.value(count).as_u64().expect("a number");
    assert!(count > 0);
    browser.open(&page, &format!("#finding={count}&step=0"));
    assert_eq!(
        browser.value("document.querySelector('[aria-current=true] .number').innerText"),
        format!("{count}.")
    );
    assert!(browser.text("position").starts_with("0 of "));
    browser.value("document.querySelector('#findings-list button').click()");
    assert!(browser.text("finding-title").starts_with("1. "), "{}", browser.text("finding-title"));
    assert!(browser.text("call-notes").contains("The two sides differ in"));
    browser.assert_quiet();
}

/// The page has the call that crashes, and the parts of the check.
#[test]
fn a_check_writes_what_it_finds() {
    let Some(mut browser) = browser() else { return };
    let tree = copy_of_kernel();
    let crash = "{\n*(volatile int *)0 = 0;\n";
    if !edit_allocator(tree.path(), "gpu_buddy_block_trim(struct", "{\n", crash) {
        return;
    }
    let place = Place::new();
    let (page, base) = (place.path("page.html"), kernel_tree());
    place.page(&[
        &"check",
        &tree.path(),
        &"--base",
        &base,
        &"--quick",
        &"--seed",
        &"1",
        &"--html",
        &page,
    ]);
    browser.open(&page, "");
    assert!(browser.text("verdict").contains("crashes"), "{}", browser.text("verdict"));
    for part in ["build", "KUnit", "lockstep", "contract", "coverage", "cost"] {
        assert!(browser.text("parts").contains(part), "{}", browser.text("parts"));
    }
    assert!(browser.text("finding-lines").contains("crash"));
    let notes = browser.text("call-notes");
    assert!(notes.contains("kills the process"), "{notes}");
    assert!(!browser.text("call-title").starts_with('('), "it is no call, but the end");
    let figures = "document.querySelectorAll('#maps figure').length";
    assert_eq!(browser.value(figures), 1, "there is no state after a crash");
    browser.assert_quiet();
}
