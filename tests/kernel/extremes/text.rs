//! Sizes and traces as text.

use super::*;

#[test]
fn sizes_as_text() {
    for value in extremes(CHUNK).into_iter().chain((0..64).map(|log2| 1 << log2)) {
        assert_eq!(parse_size(&value.to_string()), Ok(value));
        assert_eq!(parse_size(&format!("{value:#x}")), Ok(value));
        assert_eq!(parse_size(&format_size(value)), Ok(value));
        for (power, suffix) in (1..).zip("KMGTPE".chars()) {
            let expected = value.checked_mul(1 << (10 * power)).ok_or(ParseSizeError::TooLarge);
            assert_eq!(parse_size(&format!("{value}{suffix}")), expected);
        }
    }
    let digits = "9".repeat(1 << 20);
    for text in ["18446744073709551616", "0x10000000000000000", "16E", &digits] {
        let error = soon(|| parse_size(text)).expect_err("too large");
        assert_eq!(error.to_string(), "expected a size that fits in 64 bits");
    }
    for text in [
        "", " ", "K", "0x", "0xK", "-1", "+1", "1 K", "1KK", "1B", "1.5K", "0X1", "１", "4é", "é",
        "\0", "4\0", "\u{301}K", "0x-1", "1_000", "ſ", "4ſ", "∞",
    ] {
        let error = parse_size(text).expect_err("no size");
        assert_eq!(error.to_string(), "expected a size such as 4096, 0x1000 or 4K", "'{text}'");
    }
}

/// The error for a trace says where and why.
#[test]
fn numbers_in_traces() {
    let huge = ["18446744073709551616", "16E", "0x10000000000000000"];
    for number in huge {
        for line in [
            format!("space size={number} chunk=4K"),
            format!("space size=4K chunk={number}"),
            format!("space size=4K chunk=4K\na = alloc {number}"),
            format!("space size=4K chunk=4K\na = alloc 4K align={number}"),
            format!("space size=4K chunk=4K\na = alloc 4K range={number}..4K"),
            format!("space size=4K chunk=4K\na = alloc 4K range=0..{number}"),
            format!("space size=4K chunk=4K\na = alloc 4K start={number}"),
            format!("space size=4K chunk=4K\na = alloc 4K end={number}"),
            format!("space size=4K chunk=4K\na = alloc 4K\ntrim a {number}"),
            format!("space size=4K chunk=4K\na = alloc 4K\ntrim a 4K start={number}"),
            format!("space size=4K chunk=4K\nlookup {number}"),
        ] {
            let error = line.parse::<Trace>().expect_err("too large").to_string();
            assert!(error.contains("fits in 64 bits") && error.contains(number), "{error}");
        }
    }
    for line in ["a = alloc 4K\nfree a[18446744073709551616]", "fail-nth 18446744073709551616"] {
        let text = format!("space size=4K chunk=4K\n{line}");
        let error = text.parse::<Trace>().expect_err("too large").to_string();
        assert!(error.contains("fits in 64 bits"), "{error}");
    }
}
