//! Draws the number of blocks by size.

use gpu_buddy::diff::format_size;
use gpu_buddy::{OrderStatistics, Snapshot};
use svg::Node;
use svg::node::element::Group;

use super::cells::State;
use super::svg::{Rectangles, filled, text};
use super::words::short_count;

/// Height and maximum width of the bars.
const HEIGHT: i64 = 64;
const WIDEST: i64 = 72;

/// One bar for each size of block. Its height shows the bytes in such blocks; their number is
/// above it. Also returns the height of the drawing.
pub fn draw(snapshot: &Snapshot, hatch: &str, x: i64, width: i64, y: i64) -> (Group, i64) {
    let mut group = Group::new();
    let orders = used(snapshot);
    group.append(text(
        x,
        y + 14,
        "",
        "Blocks by size: their number, and their total bytes (height)",
    ));
    let top = y + 44;
    let step = (width / orders.len().max(1) as i64).min(WIDEST);
    let most = orders.iter().map(|order| bytes(order, snapshot).iter().sum()).max().unwrap_or(0);
    let mut bars = <[Rectangles; 3]>::default();
    for (index, order) in orders.iter().enumerate() {
        let left = x + index as i64 * step;
        let mut bottom = top + HEIGHT;
        for (bars, bytes) in bars.iter_mut().zip(bytes(order, snapshot)) {
            let height = scaled(bytes, most);
            bottom -= height;
            if height > 0 {
                bars.add(left + 2, bottom, (step - 6).max(4), height);
            }
        }
        let count = order.free() + order.allocated;
        let middle = left + step / 2 - 1;
        if count > 0 {
            group.append(text(middle, bottom - 4, "mono mid dim", &short_count(count)));
        }
        // Sizes such as 512K need 30 pixels.
        if step >= 30 || index % 2 == 0 {
            let size = format_size(snapshot.chunk_size << order.order);
            group.append(text(middle, top + HEIGHT + 14, "mono mid", &size));
        }
    }
    for (state, bars) in State::ALL.into_iter().zip(bars) {
        if !bars.text.is_empty() {
            group.append(filled(state, hatch, false, &bars.text));
        }
    }
    (group, top - y + HEIGHT + 20)
}

/// From the smallest to the largest order that has a block.
pub fn used(snapshot: &Snapshot) -> Vec<OrderStatistics> {
    let orders = snapshot.statistics();
    let has_blocks = |order: &OrderStatistics| order.free() + order.allocated > 0;
    let first = orders.iter().position(has_blocks).unwrap_or(0);
    let end = orders.iter().rposition(has_blocks).map_or(0, |last| last + 1);
    orders.get(first..end).unwrap_or_default().to_vec()
}

/// By [`State`].
fn bytes(order: &OrderStatistics, snapshot: &Snapshot) -> [u128; 3] {
    [order.allocated, order.free_dirty, order.free_clear]
        .map(|count| u128::from(count) * (u128::from(snapshot.chunk_size) << order.order))
}

/// In pixels; at least one if there are any bytes.
fn scaled(bytes: u128, most: u128) -> i64 {
    if bytes == 0 {
        0
    } else {
        (bytes as f64 * HEIGHT as f64 / most as f64).round().max(1.0) as i64
    }
}
