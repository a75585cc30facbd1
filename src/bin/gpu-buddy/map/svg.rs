//! A map as SVG.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use gpu_buddy::Snapshot;
use svg::node::element::{Definitions, Description, Group, Path, Rectangle, Style, Text, Title};
use svg::{Document, Node};

use super::cells::{State, Totals};
use super::draw::Map;
use super::grid::Layout;
use super::{orders, words};

/// How to draw the map.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// The title of the picture.
    pub title: &'a str,
    /// A line below the title.
    pub subtitle: &'a str,
    /// The address of the start of the space.
    pub base: u64,
    /// The layout of the map.
    pub layout: Layout,
    /// Whether blocks are labelled with their sizes, if there is room.
    pub labels: bool,
    /// A name for a block, by its offset, for its label.
    pub names: Option<&'a BTreeMap<u64, String>>,
    /// Distinguishes the pictures of one HTML page: letters, digits and `-`. Empty if it is
    /// the only one.
    pub id: &'a str,
}

pub const MARGIN: i64 = 16;

/// Colours in the light and the dark theme. The states also differ in lightness, and free, dirty
/// blocks are hatched.
const STYLE: &str = "\
.gpu-buddy-map{--bg:#fff;--fg:#1f2328;--dim:#59636e;--allocated:#0072b2;--dirty:#f2b134;\
--hatch:#c98700;--clear:#cfe8dc;--edge:#fff;--on-allocated:#fff;--on-free:#1f2328;\
font:13px system-ui,sans-serif;max-width:100%;height:auto}\
@media(prefers-color-scheme:dark){.gpu-buddy-map{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;\
--allocated:#56b4e9;--dirty:#a86c00;--hatch:#7c5000;--clear:#1f4a3a;--edge:#0d1117;\
--on-allocated:#0d1117;--on-free:#fff}}\
.gpu-buddy-map .bg{fill:var(--bg)}.gpu-buddy-map text{fill:var(--fg)}\
.gpu-buddy-map .title{font-size:18px;font-weight:600}.gpu-buddy-map .dim{fill:var(--dim)}\
.gpu-buddy-map .mono{font:11px ui-monospace,monospace}.gpu-buddy-map .end{text-anchor:end}\
.gpu-buddy-map .mid{text-anchor:middle}.gpu-buddy-map .allocated{fill:var(--allocated)}\
.gpu-buddy-map .dirty{fill:var(--dirty)}.gpu-buddy-map .hatch{stroke:var(--hatch)}\
.gpu-buddy-map .clear{fill:var(--clear)}.gpu-buddy-map .edge{stroke:var(--edge)}\
.gpu-buddy-map .on-allocated{fill:var(--on-allocated)}\
.gpu-buddy-map .on-free{fill:var(--on-free);stroke:var(--dirty);stroke-width:3px;\
paint-order:stroke}.gpu-buddy-map .on-clear{stroke:var(--clear)}";

/// Draws a state. The result is a whole SVG file below 1 MB, whatever the number of blocks. It can
/// be embedded in an HTML page.
pub fn svg(snapshot: &Snapshot, options: &Options<'_>) -> String {
    let totals = Totals::of(snapshot);
    let map = Map::new(snapshot, options);
    let width = map.width();
    let mut body = Group::new();
    let mut y = MARGIN + 16;
    body.append(text(MARGIN, y, "title", options.title));
    let lines = [
        options.subtitle,
        &words::space(snapshot.size, snapshot.chunk_size, options.base),
        &words::free(snapshot, &totals, options.base),
    ];
    for line in lines.iter().filter(|line| !line.is_empty()) {
        y += 20;
        body.append(text(MARGIN, y, "dim", line));
    }
    y += 14;
    let mut x = MARGIN;
    for state in State::ALL {
        let entry = words::total(state, &totals, snapshot.size);
        body.append(swatch(x, y, state, &map.hatch));
        body.append(text(x + 24, y + 12, "", &entry));
        x += 24 + 7 * entry.len() as i64 + 16;
    }
    y += 30;
    body.append(map.draw(options, y));
    y += map.height + 18;
    for note in map.notes() {
        body.append(text(MARGIN, y, "dim", &note));
        y += 18;
    }
    let (chart, height) = orders::draw(snapshot, &map.hatch, MARGIN, width - 2 * MARGIN, y);
    body.append(chart);
    y += height + MARGIN;

    let description = format!("{}. {}.", lines[1], lines[2]);
    Document::new()
        .set("class", "gpu-buddy-map")
        .set("role", "img")
        .set("width", width)
        .set("height", y)
        .set("viewBox", (0, 0, width, y))
        .set("aria-labelledby", format!("{0}title {0}desc", map.prefix))
        .add(Title::new(printable(options.title)).set("id", format!("{}title", map.prefix)))
        .add(
            Description::new()
                .set("id", format!("{}desc", map.prefix))
                .add(svg::node::Text::new(description)),
        )
        .add(Style::new(STYLE))
        .add(Definitions::new().add(map.pattern()))
        .add(
            Rectangle::new()
                .set("class", "bg")
                .set("fill", "#fff")
                .set("width", width)
                .set("height", y),
        )
        .add(body)
        .to_string()
}

/// XML has no control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub fn text(x: i64, y: i64, class: &str, content: &str) -> Text {
    let text = Text::new(printable(content)).set("x", x).set("y", y);
    if class.is_empty() { text } else { text.set("class", class) }
}

/// The class of a state, and its colour for viewers without CSS variables.
fn colour(state: State) -> (&'static str, &'static str) {
    match state {
        State::Allocated => ("allocated", "#0072b2"),
        State::Dirty => ("dirty", "#f2b134"),
        State::Clear => ("clear", "#cfe8dc"),
    }
}

/// A path in the colour and pattern of a state, with or without borders.
pub fn filled(state: State, hatch: &str, borders: bool, data: &str) -> Group {
    let (name, fill) = colour(state);
    let edge = |path: Path| {
        if borders { path.set("class", "edge").set("stroke", "#fff") } else { path }
    };
    let path = || Path::new().set("d", data);
    let mut group = Group::new().set("class", name).set("fill", fill);
    if state == State::Dirty {
        group.append(path());
        // The borders are on top of the hatching.
        group.append(edge(path()).set("fill", format!("url(#{hatch})")));
    } else {
        group.append(edge(path()));
    }
    group
}

fn swatch(x: i64, y: i64, state: State, hatch: &str) -> Group {
    filled(state, hatch, false, &format!("M{x} {y}h16v14h-16z"))
}

/// The data of a path of rectangles. Each is relative to the one before, which is shorter.
#[derive(Default)]
pub struct Rectangles {
    pub text: String,
    at: (i64, i64),
}

impl Rectangles {
    pub fn add(&mut self, x: i64, y: i64, width: i64, height: i64) {
        let (left, top) = core::mem::replace(&mut self.at, (x, y));
        let _ = write!(self.text, "m{} {}h{width}v{height}h-{width}z", x - left, y - top);
    }
}

#[cfg(test)]
mod tests {
    use gpu_buddy::{BlockInfo, BlockState};

    use super::*;

    /// Single chunks whose states no rule describes.
    fn scattered(chunks: u64) -> Snapshot {
        let mut number = 1_u64;
        let block = |chunk| {
            // A linear congruential generator.
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let state = if (number >> 40).is_multiple_of(3) {
                BlockState::Allocated
            } else {
                BlockState::Free
            };
            BlockInfo {
                offset: chunk << 12,
                order: 0,
                state,
                clear: (number >> 50).is_multiple_of(2),
            }
        };
        let blocks = (0..chunks).map(block).collect();
        Snapshot { chunk_size: 4096, size: chunks << 12, avail: 0, clear_avail: 0, blocks }
    }

    #[test]
    fn a_file_is_small_whatever_it_shows() {
        for chunks in [1 << 14, 1 << 18, 100_003] {
            let snapshot = scattered(chunks);
            for layout in [Layout::Rows, Layout::Hilbert] {
                let options = Options { layout, labels: true, ..Options::default() };
                let length = svg(&snapshot, &options).len();
                assert!((50_000..1_000_000).contains(&length), "{chunks} {layout:?}: {length}");
            }
        }
    }

    #[test]
    fn pictures_of_one_page_have_their_own_ids() {
        let snapshot = scattered(64);
        let ids = |id| {
            let drawn = svg(&snapshot, &Options { id, ..Options::default() });
            let ids = drawn.split(" id=\"").skip(1).filter_map(|it| it.split('"').next());
            ids.map(str::to_owned).collect::<Vec<_>>()
        };
        let (one, two) = (ids("1"), ids("2"));
        assert_eq!(one.len(), 3);
        assert!(one.iter().all(|id| !two.contains(id)), "{one:?} {two:?}");
    }
}
