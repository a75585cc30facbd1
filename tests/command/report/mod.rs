//! The pages that `report`, `compare` and `check` write: what they hold, and what a user sees
//! of them in a real browser.

mod explained;
mod stepping;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::browser::Browser;
use crate::command_line::{assert_wrong_usage, command, text};
use crate::common::{copy_of_kernel, edit_allocator, kernel_tree, not_tested};
use tempfile::TempDir;

/// Every kernel places these allocations alike.
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

    /// Runs a command that writes a page. Returns the page, and what is printed.
    fn page(&self, arguments: &[&dyn AsRef<OsStr>]) -> (PathBuf, String) {
        let page = self.path("page.html");
        let mut command = command(&[]);
        command.env("XDG_CACHE_HOME", crate::common::module_cache());
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

/// A browser. If there is none, it says what is not tested.
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
    assert_wrong_usage(&["report", none, "-o", "page.html"], "none.trace: no allocator can manage");
    assert_wrong_usage(&["report", good, "-o", "/no/such/page.html"], "/no/such/page.html");
    let series = gpu_buddy::KERNEL.series;
    let compare = ["compare", series, series, good, "--html", "/no/such/page.html"];
    assert_wrong_usage(&compare, "/no/such/page.html");
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
