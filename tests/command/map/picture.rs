//! The map as a picture.

use super::*;

/// Bytes that are allocated, free and dirty, free and clear.
fn bytes(snapshot: &Snapshot) -> [u64; 3] {
    let mut bytes = [0; 3];
    for block in snapshot.leaves() {
        let state = match (block.state, block.clear) {
            (BlockState::Allocated, _) => 0,
            (_, false) => 1,
            (_, true) => 2,
        };
        bytes[state] += snapshot.block_size(block);
    }
    bytes
}

/// The areas of these states on the map, in square pixels, and the number of rectangles.
fn drawn(svg: &str) -> ([u64; 3], usize) {
    let map = svg.split_once("<g class=\"map\"").expect("a map").1;
    let map = map.split_once("Blocks by size").expect("its end").0;
    let mut areas = [0; 3];
    let mut count = 0;
    for (state, area) in ["allocated", "dirty", "clear"].iter().zip(&mut areas) {
        for group in map.split(&format!("<g class=\"{state}\"")).skip(1) {
            let data = group.split_once(" d=\"").expect("a path").1;
            let data = data.split('"').next().unwrap_or_default();
            for rectangle in data.split('z').filter(|rectangle| !rectangle.is_empty()) {
                let number = |after: char| -> u64 {
                    let digits = rectangle.split_once(after).expect(rectangle).1;
                    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                    digits[..end].parse().expect(rectangle)
                };
                *area += number('h') * number('v');
                count += 1;
            }
        }
    }
    (areas, count)
}

/// Each block is a rectangle with its share of the map.
#[rstest]
#[case::rows("rows")]
#[case::hilbert("hilbert")]
fn areas_are_bytes(#[case] layout: &str) {
    let place = Place::new();
    let odd = SMALL.replace("size=64K", "size=76K");
    let random = random_trace(&["--size", "4M", "--ops", "301"]);
    for trace in [SMALL, &odd, &random] {
        let snapshot = snapshot(trace);
        let (areas, rectangles) = drawn(&place.svg(trace, &["--layout", layout]));
        assert_eq!(rectangles, snapshot.leaves().count(), "{trace}");
        let pixels: u64 = areas.iter().sum();
        for (area, bytes) in areas.into_iter().zip(bytes(&snapshot)) {
            assert_eq!(area * snapshot.size, bytes * pixels, "{areas:?} {trace}");
        }
    }
}

/// In 16T, a single 4K is visible, and takes no more than its cell.
#[rstest]
#[case::rows("rows", 32 * 512)]
#[case::hilbert("hilbert", 128 * 128)]
fn small_blocks_of_a_large_space_are_added_up(#[case] layout: &str, #[case] cells: u64) {
    let trace = "\
space size=16T chunk=4K
large = alloc 4T range=0..4T
small = alloc 4K range=8T..8796093026304
free large cleared
again = alloc 1T range=0..1T
tiny = alloc 4K range=12T..13194139537408
";
    let place = Place::new();
    let svg = place.svg(trace, &["--layout", layout]);
    let (areas, _) = drawn(&svg);
    let pixels: u64 = areas.iter().sum();
    let cell = pixels / cells;
    let near = |area: u64, terabytes: u64| {
        let exact = pixels / 16 * terabytes;
        area.abs_diff(exact) <= 4 * cell && area != exact
    };
    assert!(near(areas[0], 1) && near(areas[1], 12), "{areas:?}");
    assert_eq!(areas[2], pixels / 16 * 3);
    for part in ["allocated: 1.00T in 3 blocks", "free, clear: 3T in", "15.0T free", "\n1T\n"] {
        assert!(svg.contains(part), "{part}\n{svg}");
    }

    // In a random state, areas differ from bytes by at most the cells with small blocks.
    let trace = random_trace(&["--size", "16T", "--ops", "3001"]);
    let snapshot = snapshot(&trace);
    let (areas, _) = drawn(&place.svg(&trace, &["--layout", layout]));
    let pixels: u64 = areas.iter().sum();
    let small = snapshot.leaves().filter(|block| snapshot.block_size(block) < 1 << 30).count();
    for (area, bytes) in areas.into_iter().zip(bytes(&snapshot)) {
        let share = area as f64 / pixels as f64 - bytes as f64 / snapshot.size as f64;
        assert!(share.abs() <= small as f64 / cells as f64, "{areas:?}");
    }
}

/// A block has the name of the allocation that it belongs to now.
#[test]
fn labels_follow_the_blocks() {
    let mut trace = "space size=64K chunk=4K\n".to_owned();
    let all = |line: &dyn Fn(u64, String) -> String| {
        let range = |index: u64| format!("range={}K..{}K", 4 * index, 4 * index + 4);
        (0..14).map(|index| line(index, range(index))).collect::<String>()
    };
    trace += &all(&|index, range| format!("old{index} = alloc 4K {range}\n"));
    trace += &all(&|index, _| format!("free old{index}\n"));
    trace += "new = alloc 4K range=56K..60K\n";
    trace += &all(&|_, range| format!("new += alloc 4K {range}\n"));
    let place = Place::new();
    let svg = place.svg(&trace, &["--labels"]);
    assert_eq!(svg.matches("\nnew 4K\n").count(), 15, "{svg}");
    assert!(!svg.contains("\nold"), "{svg}");

    // Block by block, the list loses all but its last one.
    trace += &"free new[0]\n".repeat(14);
    trace += "other = alloc 8K range=56K..64K\ntrim other 4K\n";
    trace += &all(&|index, range| match index {
        13 => String::new(),
        _ => format!("last{index} = alloc 4K {range}\n"),
    });
    let svg = place.svg(&trace, &["--labels"]);
    for (label, count) in [("new 4K", 1), ("other 4K", 1), ("other 8K", 0), ("last0 4K", 1)] {
        assert_eq!(svg.matches(&format!("\n{label}\n")).count(), count, "{label}\n{svg}");
    }
}

#[test]
fn the_picture_is_accessible() {
    let svg = Place::new().svg(SMALL, &[]);
    for part in [
        "role=\"img\"",
        "aria-labelledby=\"map-title map-desc\"",
        "<title id=\"map-title\">",
        "<desc id=\"map-desc\">",
        "prefers-color-scheme:dark",
        "url(#map-hatch)",
        "64K in chunks of 4K, from 4G",
    ] {
        assert!(svg.contains(part), "{part}\n{svg}");
    }
}

/// Names of files are text, not markup.
#[test]
fn the_title_is_escaped() {
    let place = Place::new();
    let (file, picture) = (place.path("a<b>&\"c.trace"), place.path("a.svg"));
    fs::write(&file, SMALL).expect("it is written");
    prints(command(&["map"]).arg(file).arg("-o").arg(&picture));
    let svg = fs::read_to_string(picture).expect("a picture");
    assert_eq!(svg.matches("a&lt;b&gt;&amp;\"c.trace").count(), 2, "{svg}");
}

/// The picture in the documentation is what the command draws.
#[test]
fn the_documentation_has_this_picture() {
    let place = Place::new();
    let pictures = project().join("docs/pictures");
    let drawn = place.path("map.svg");
    let trace = pictures.join("map.trace");
    prints(command(&["map", "--labels", "-o"]).arg(&drawn).arg(&trace));
    let [drawn, kept] = [drawn, pictures.join("map.svg")].map(fs::read_to_string);
    assert!(
        drawn.expect("a picture") == kept.expect("a picture"),
        "draw docs/pictures/map.svg anew"
    );
    let page = fs::read_to_string(project().join("docs/pictures.md")).expect("a page");
    let text = prints(command(&["map"]).arg(&trace).env("COLUMNS", "80"));
    assert!(page.contains(&text), "docs/pictures.md lacks this:\n{text}");
}
