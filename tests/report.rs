//! The pages that `report`, `compare` and `check` write: what they hold, and what a user sees
//! of them in a real browser.

#[path = "common/browser.rs"]
mod browser;
#[path = "common/command.rs"]
mod command_line;
mod common;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use browser::Browser;
use command_line::{assert_wrong_usage, command, text};
use common::{copy_of_kernel, edit_allocator, kernel_tree, not_tested};
use tempfile::TempDir;

/// What is allocated is at these places in any kernel.
const TRACE: &str = "\
# Reported by mail.
space size=64K chunk=4K base=4G
front = alloc 16K range=0..16K # the lower quarter
back = alloc 4K range=60K..64K
free front cleared
fail = alloc 128K
lookup 60K
free back
";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, text).expect("it is written");
        file
    }

    /// Runs a command that writes a page. Returns that, and what is printed.
    fn page(&self, arguments: &[&dyn AsRef<OsStr>]) -> (PathBuf, String) {
        let page = self.path("page.html");
        let mut command = command(&[]);
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"));
        arguments.iter().for_each(|argument| _ = command.arg(argument));
        let output = command.output().expect("it runs");
        assert_eq!(text(&output.stderr), "");
        assert!(output.status.code() < Some(2), "{output:?}");
        (page, text(&output.stdout))
    }

    fn report(&self, trace: &str, more: &[&dyn AsRef<OsStr>]) -> PathBuf {
        let file = self.file("some.trace", trace);
        let page = self.path("page.html");
        self.page(&[&[&"report" as &dyn AsRef<OsStr>, &file, &"-o", &page], more].concat()).0
    }
}

/// A browser; or a line that says what is left out.
fn browser() -> Option<Browser> {
    let browser = Browser::start();
    if browser.is_none() {
        not_tested("the pages in a browser", "chromium is not installed");
    }
    browser
}

#[test]
fn the_verdict_is_printed_and_the_page_needs_nothing_else() {
    let place = Place::new();
    let file = place.file("some.trace", TRACE);
    let page = place.path("page.html");
    let (_, stdout) = place.page(&[&"report", &file, &"-o", &page, &"--against", &"contract"]);
    assert_eq!(stdout, format!("{}: no promise broken in 6 calls\n", page.display()));
    let page = fs::read_to_string(page).expect("a page");
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"), "{page}");
    for place in ["{{nonce}}", "{{css}}", "{{script}}", "{{data}}"] {
        assert!(!page.contains(place), "{place}");
    }
}

#[test]
fn wrong_usage_says_what_to_do() {
    let place = Place::new();
    let good = place.file("good.trace", TRACE);
    let bad = place.file("bad.trace", "space size=64K chunk=4K\nfree a\n");
    let none = place.file("none.trace", "space size=4K chunk=8K\n");
    let (good, bad, none) = (good.to_str(), bad.to_str(), none.to_str());
    let (good, bad, none) = (good.expect("UTF-8"), bad.expect("UTF-8"), none.expect("UTF-8"));
    assert_wrong_usage(&["report", good], "--output");
    assert_wrong_usage(&["report", bad, "-o", "page.html"], "bad.trace: line 2");
    assert_wrong_usage(&["report", none, "-o", "page.html"], "none.trace: no allocator has");
    assert_wrong_usage(&["report", good, "-o", "/no/such/page.html"], "/no/such/page.html");
    let series = gpu_buddy::KERNEL.series;
    let compare = ["compare", series, series, good, "--html", "/no/such/page.html"];
    assert_wrong_usage(&compare, "/no/such/page.html");
}

#[test]
fn it_shows_each_call_and_steps_by_key_slider_and_link() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    let page = place.report(TRACE, &[]);
    browser.open(&page, "");
    assert_eq!(browser.text("title"), "some.trace");
    assert!(browser.text("verdict").starts_with("no promise broken in 6 calls"));
    assert_eq!(browser.value("document.querySelectorAll('.row').length"), 7);
    assert_eq!(browser.text("position"), "0 of 6");
    assert_eq!(browser.text("call-comments"), "# Reported by mail.");

    browser.press("ArrowRight");
    assert_eq!(browser.text("call-title"), "front = alloc 16K range=0..16K");
    assert_eq!(browser.text("call-outcome"), "→ 4G order 2");
    assert_eq!(browser.text("call-comments"), "# the lower quarter");
    assert_eq!(browser.value("location.hash"), "#step=1");
    assert_eq!(browser.value("document.querySelectorAll('#maps figure').length"), 2);
    let after = "[...document.querySelectorAll('#maps canvas')].at(-1).ariaLabel";
    let map = browser.value(after);
    let map = map.as_str().expect("the map has a label");
    assert!(map.starts_with("Map. After: ") && map.contains("16K allocated"), "{map}");
    let rows = browser.text("tree");
    assert!(rows.contains("4G..4194320K\t16K\t2\t–\tallocated"), "{rows}");

    browser.press("End");
    assert_eq!(browser.text("call-title"), "free back");
    browser.press("ArrowLeft");
    assert_eq!(browser.text("call-outcome"), "→ 4194364K order 0");
    browser.press("ArrowLeft");
    assert_eq!(browser.text("call-outcome"), "→ EINVAL");
    browser.press("Home");
    assert_eq!(browser.text("call-title"), "space size=64K chunk=4K base=4G");

    // A slider that is moved by a pointer says so.
    let slider = "{ const slider = document.getElementById('slider'); slider.value = 3; \
                  slider.dispatchEvent(new Event('input')); }";
    browser.value(slider);
    assert_eq!(browser.text("call-title"), "free front cleared");
    assert_eq!(browser.value("location.hash"), "#step=3");
    let map = browser.value(after);
    assert!(map.as_str().is_some_and(|map| map.contains("16K free clear")), "{map}");

    browser.open(&page, "#step=5");
    assert_eq!(browser.text("call-title"), "lookup 60K");
    browser.value("location.hash = '#step=2'");
    browser.wait("document.getElementById('position').innerText === '2 of 6'");
    // Beyond the end, it is the end.
    browser.open(&page, "#step=99999");
    assert_eq!(browser.text("position"), "6 of 6");
    browser.assert_quiet();
}

/// One finds all of it with the keys alone, and a screen reader is told of it.
#[test]
fn the_keyboard_is_enough() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    browser.open(&place.report(TRACE, &[]), "#step=2");
    let mut reached = Vec::new();
    for _ in 0..8 {
        browser.press("Tab");
        let focus = browser.value("document.activeElement.id || document.activeElement.tagName");
        reached.push(focus.as_str().unwrap_or_default().to_owned());
        match reached.last().map(String::as_str) {
            Some("next") => {
                browser.press("Enter");
                assert_eq!(browser.text("position"), "3 of 6");
            }
            Some("slider") => {
                browser.press("ArrowLeft");
                assert_eq!(browser.text("position"), "1 of 6");
                browser.press("ArrowRight");
                assert_eq!(browser.text("position"), "2 of 6");
            }
            Some("calls-list") => {
                browser.press("ArrowDown");
                assert_eq!(browser.text("position"), "4 of 6");
                browser.press("ArrowUp");
                let active = "document.getElementById(document.getElementById('calls-list')\
                              .getAttribute('aria-activedescendant'))";
                let label = browser.value(&format!("{active}.ariaLabel"));
                assert_eq!(label, "free front cleared");
                assert_eq!(browser.value(&format!("{active}.ariaSelected")), "true");
            }
            _ => {}
        }
    }
    for control in ["first", "previous", "slider", "next", "last", "calls-list", "SUMMARY"] {
        assert!(reached.iter().any(|id| id == control), "{control}: {reached:?}");
    }
    let nameless = "[...document.querySelectorAll('button, input, canvas[role], [role=listbox]')]\
                    .filter((element) => !element.ariaLabel && !element.innerText \
                    && !element.hasAttribute('aria-labelledby')).length";
    assert_eq!(browser.value(nameless), 0);
    browser.assert_quiet();
}

/// Names and comments are text, whatever they hold.
#[test]
fn what_a_trace_says_is_never_run() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    let trace = "\
# <!-- <script>document.body.remove()</script> {{data}} {{script}}
space size=64K chunk=4K
a = alloc 4K # </script><script>document.body.remove()</script><b id=evil>&amp; \\u003c \"
free a # <img src=x onerror=document.body.remove()>
";
    let file = place.file("<b id=evil>&amp;.trace", trace);
    let page = place.path("page.html");
    place.page(&[&"report", &file, &"-o", &page]);
    browser.open(&page, "#step=1");
    assert_eq!(browser.text("title"), "<b id=evil>&amp;.trace");
    let comment = "# </script><script>document.body.remove()</script><b id=evil>&amp; \\u003c \"";
    assert_eq!(browser.text("call-comments"), comment);
    assert_eq!(browser.value("document.querySelectorAll('#evil, img').length"), 0);
    assert_eq!(browser.value("document.scripts.length"), 2);
    browser.press("ArrowRight");
    assert!(browser.text("call-comments").contains("<img src=x"));
    assert_eq!(browser.value("document.getElementById('text').textContent"), trace);
    browser.assert_quiet();
}

#[test]
fn it_fits_both_widths_and_both_schemes() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    let page = place.report(TRACE, &[]);
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for width in [400, 1200] {
            browser.resize(width, 900);
            browser.open(&page, "#step=3");
            let wide = browser.value("document.documentElement.scrollWidth");
            assert!(wide.as_u64() <= Some(u64::from(width)), "{width} {scheme}: {wide}");
            let is_right = "document.getElementById('call').getBoundingClientRect().left > 200";
            assert_eq!(browser.value(is_right), width > 800, "{width} {scheme}");
        }
        backgrounds.push(browser.value("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
    browser.assert_quiet();
}

#[test]
fn ten_thousand_calls_open_at_once() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    // Every second block stays, so that nothing merges: thousands of blocks.
    let mut trace = "space size=64M chunk=4K\n".to_owned();
    for number in 0..7000 {
        writeln!(trace, "a{number} = alloc 4K").expect("a string");
        if number % 2 == 1 && number < 6000 {
            writeln!(trace, "free a{number} cleared").expect("a string");
        }
    }
    let page = place.report(&trace, &[&"--against", &"contract"]);
    let size = page.metadata().expect("a page").len();
    assert!(size < 4 << 20, "{size} bytes");
    // The machine may be busy with something else.
    let mut fastest = f64::MAX;
    for _ in 0..5 {
        browser.open(&page, "#step=9000");
        let time = browser.value("performance.getEntriesByType('navigation')[0].duration");
        fastest = fastest.min(time.as_f64().expect("a time"));
        if fastest < 1000.0 {
            break;
        }
    }
    assert!(fastest < 2000.0, "{fastest} ms");
    assert_eq!(browser.text("position"), "9000 of 10000");
    let maps = browser.value("document.querySelectorAll('#maps canvas').length");
    assert_eq!(maps, 4, "before and after, each with an enlarged part");
    let rows = browser.value("document.querySelectorAll('.row').length").as_u64();
    assert!(rows > Some(10) && rows < Some(100), "{rows:?}");
    browser.press("End");
    assert_eq!(browser.text("call-title"), "a6999 = alloc 4K");
    let selected = "document.querySelector('.row[aria-selected=true]').innerText";
    assert!(browser.value(selected).as_str().is_some_and(|row| row.contains("a6999")));
    browser.assert_quiet();
}

/// A broken promise, and a known quirk by its name; both keys that go to findings.
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

/// A kernel that does not merge what is freed: both states, and a page with every finding.
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

/// A call that crashes is on the page, and the parts of the check are.
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
