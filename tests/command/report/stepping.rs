//! Stepping through the calls, with keys, the slider and links.

use super::*;

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

    // The event of a slider that a pointer moves.
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
    // A step beyond the end shows the end.
    browser.open(&page, "#step=99999");
    assert_eq!(browser.text("position"), "6 of 6");
    browser.assert_quiet();
}

/// The keys reach everything, and a screen reader can name it.
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
