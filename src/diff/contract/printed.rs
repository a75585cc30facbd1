//! What an allocator prints of itself, held against its state.

use crate::diff::{Printed, format_size};
use crate::{OrderStatistics, Snapshot};

use super::{Block, Breach, Contract, Detail, Promise, Report};

impl Contract {
    /// Judges what was printed, and what the allocator said by itself as it printed.
    ///
    /// The words are the allocator's own. A figure is judged if its name and its unit are known
    /// here: nothing promises the others. A kernel's own code prints each order that has blocks,
    /// and each block that it is asked for.
    pub(in crate::diff) fn check_printed(
        &mut self,
        printed: &Printed,
        is_kernel: bool,
        report: &Report,
        snapshot: &Snapshot,
    ) -> Vec<Breach> {
        self.check_end_of_use(report);
        self.check_warnings(report);
        if self.found.is_empty() {
            let statistics = snapshot.statistics();
            if is_kernel {
                self.check_lines(printed, &statistics);
            }
            for line in &printed.state {
                match order(line) {
                    None => self.check_totals(line, snapshot),
                    Some((number, rest)) => {
                        let order = statistics.get(number as usize);
                        self.check_order(number, rest, order, snapshot.chunk_size);
                    }
                }
            }
            if let Some((block, line)) = &printed.block {
                self.check_line_of_block(*block, line);
            }
        }
        core::mem::take(&mut self.found)
    }

    /// Whether there is a line about each order that has blocks, and about the block.
    fn check_lines(&mut self, printed: &Printed, statistics: &[OrderStatistics]) {
        let in_use = || statistics.iter().filter(|order| order.allocated + order.free() > 0);
        let orders: Vec<_> = printed.state.iter().filter_map(|line| order(line)).collect();
        let is_missing =
            |order: &&OrderStatistics| orders.iter().all(|(number, _)| *number != order.order);
        // The words may be others, but each order takes a line.
        let missing = if !orders.is_empty() {
            in_use().find(is_missing)
        } else {
            in_use().nth(printed.state.len())
        };
        if let Some(order) = missing {
            self.not_printed(format!("order {}", order.order));
        }
        if let Some((block, _)) = printed.block.as_ref().filter(|(_, line)| line.is_empty()) {
            self.not_printed(format!("the block at {}", format_size(block.offset)));
        }
    }

    fn not_printed(&mut self, what: String) {
        self.breach(Promise::Printed, Detail::NotPrinted(what));
    }

    fn check_totals(&mut self, line: &str, snapshot: &Snapshot) {
        let Snapshot { chunk_size, size, avail, clear_avail, .. } = *snapshot;
        for (name, printed, unit) in figures(line) {
            let is = match name {
                "chunk_size" => chunk_size,
                "total" => size,
                "free" => avail,
                "clear_free" => clear_avail,
                _ => continue,
            };
            self.check_bytes(name, printed, unit, is);
        }
    }

    fn check_order(
        &mut self,
        number: u32,
        line: &str,
        order: Option<&OrderStatistics>,
        chunk_size: u64,
    ) {
        let OrderStatistics { allocated, .. } = order.copied().unwrap_or_default();
        let free = order.map_or(0, OrderStatistics::free);
        let bytes = |count: u64| count * chunk_size.checked_shl(number).unwrap_or(0);
        for (name, printed, unit) in figures(line) {
            let what = format!("{name} of order {number}");
            match name {
                "free" => self.check_bytes(&what, printed, unit, bytes(free)),
                "used" => self.check_bytes(&what, printed, unit, bytes(allocated)),
                "blocks" | "free_blocks" => self.check_figure(&what, printed, free),
                "used_blocks" => self.check_figure(&what, printed, allocated),
                _ => {}
            }
        }
    }

    fn check_line_of_block(&mut self, block: Block, line: &str) {
        let Some((range, size)) = line.split_once(": ") else { return };
        let address = |text: &str| u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
        let Some((start, end)) = range.split_once('-') else { return };
        let (Some(start), Some(end), Ok(size)) = (address(start), address(end), size.parse())
        else {
            return;
        };
        let is = self.size_of(&block);
        self.check_figure("the start of a block", start, block.offset);
        self.check_figure("the end of a block", end, block.offset.wrapping_add(is));
        self.check_figure("the size of a block", size, is);
    }

    /// What is below the unit is not printed.
    fn check_bytes(&mut self, what: &str, printed: u64, unit: &str, is: u64) {
        let shift = match unit {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return,
        };
        self.check_figure(&format!("{what} in {unit}"), printed, is >> shift);
    }

    fn check_figure(&mut self, what: &str, printed: u64, is: u64) {
        if printed != is {
            self.breach(Promise::Printed, Detail::Printed { what: what.to_owned(), printed, is });
        }
    }
}

/// The order that a line is about, and the rest of the line.
fn order(line: &str) -> Option<(u32, &str)> {
    let rest = line.strip_prefix("order-")?.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = rest.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// The figures of a line such as `total: 16MiB, free: 8 MiB`: a name, a number and a unit each.
fn figures(line: &str) -> impl Iterator<Item = (&str, u64, &str)> {
    line.split(',').filter_map(|figure| {
        let (name, value) = figure.split_once(':')?;
        let value = value.trim();
        let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
        let (number, unit) = value.split_at(end);
        Some((name.trim(), number.parse().ok()?, unit.trim()))
    })
}
