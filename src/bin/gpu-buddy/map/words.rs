//! Texts for maps and plots.

use gpu_buddy::Snapshot;
use gpu_buddy::diff::format_size;

use super::cells::{State, Totals};

/// A size: exact if that is short, otherwise rounded.
pub fn short_size(bytes: u64) -> String {
    let exact = format_size(bytes);
    if exact.len() <= 5 {
        return exact;
    }
    let power = bytes.ilog2() / 10;
    let suffix = [' ', 'K', 'M', 'G', 'T', 'P', 'E'][power as usize];
    let number = bytes as f64 / (1u64 << (10 * power)) as f64;
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$}{suffix}").replace(' ', "")
}

/// An address: as a size if that is short, otherwise in hexadecimal.
pub fn address(bytes: u64) -> String {
    let size = format_size(bytes);
    if size.len() <= 8 { size } else { format!("{bytes:#x}") }
}

/// A count: exact up to four digits, otherwise rounded.
pub fn short_count(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1000),
        10_000_000..10_000_000_000 => format!("{}m", count / 1_000_000),
        _ => format!("{}g", count / 1_000_000_000),
    }
}

/// A share of the whole, as a percentage.
pub fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    match share {
        0.0 => "0 %".to_owned(),
        ..0.1 => "below 0.1 %".to_owned(),
        ..10.0 => format!("{share:.1} %"),
        // Never round up to 100 %.
        99.5..100.0 => "above 99 %".to_owned(),
        _ => format!("{share:.0} %"),
    }
}

/// The space: `64M in chunks of 4K, from 4G`.
pub fn space(size: u64, chunk_size: u64, base: u64) -> String {
    let (size, chunk) = (short_size(size), format_size(chunk_size));
    let from = if base == 0 { String::new() } else { format!(", from {}", address(base)) };
    format!("{size} in chunks of {chunk}{from}")
}

/// The free memory, its largest block and its longest run.
pub fn free(snapshot: &Snapshot, totals: &Totals, base: u64) -> String {
    let free = totals.free();
    if free == 0 {
        return "nothing is free".to_owned();
    }
    let run = snapshot.longest_free_run();
    format!(
        "{} free ({}); largest free block {}, longest free run {} at {}",
        short_size(free),
        percent(free, snapshot.size),
        short_size(snapshot.largest_free_block()),
        short_size(run.end - run.start),
        address(base.wrapping_add(run.start)),
    )
}

/// An entry of the legend.
pub fn total(state: State, totals: &Totals, size: u64) -> String {
    let (bytes, blocks) = (totals.bytes[state as usize], totals.blocks[state as usize]);
    let name = state.name();
    match blocks {
        0 => format!("{name}: none"),
        1 => format!("{name}: {} in 1 block ({})", short_size(bytes), percent(bytes, size)),
        _ => format!(
            "{name}: {} in {} blocks ({})",
            short_size(bytes),
            indicatif::HumanCount(blocks),
            percent(bytes, size)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(short_size(0), "0");
        assert_eq!(short_size(16 << 40), "16T");
        assert_eq!(short_size((16 << 40) - 4096), "16.0T");
        assert_eq!(short_size((1 << 30) + 4096), "1.00G");
        assert_eq!(short_size(u64::MAX), "16.0E");
        assert_eq!(short_size(4097), "4097");
        assert_eq!(short_size(55_768 << 10), "54.5M");
        assert_eq!(short_size(1_234_567), "1.18M");
        assert_eq!(address(4_194_336 << 10), "4194336K");
        assert_eq!(address((4 << 40) + 4096), "0x40000001000");
        assert_eq!(short_count(9_999), "9999");
        assert_eq!(short_count(123_456), "123k");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent((1 << 40) - 1, 1 << 40), "above 99 %");
        assert_eq!(percent(1, 1 << 40), "below 0.1 %");
    }
}
