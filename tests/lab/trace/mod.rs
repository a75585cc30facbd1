//! The text of traces: what is read, what is written, and where it goes wrong.

mod malformed;
mod random;

use gpu_buddy::diff::{Operation, ParseSizeError, Space, Trace, format_size, parse_size};
use gpu_buddy::{AllocRequest, GpuBuddyAllocFlag, GpuBuddyAllocFlags};
use proptest::prelude::*;
use rstest::rstest;

const SPACE: &str = "space size=16M chunk=4K\n";

fn read(text: &str) -> Vec<Operation> {
    text.parse::<Trace>().unwrap_or_else(|error| panic!("{text}: {error}")).operations
}

/// The operations after an allocation called `a`.
fn read_one(line: &str) -> Operation {
    let mut operations = read(&format!("{SPACE}a = alloc 4K\n{line}"));
    assert_eq!(operations.len(), 2);
    operations.pop().unwrap()
}

#[test]
fn space_comes_first() {
    let expected = Trace { space: Space::new(16 << 20, 4096), operations: vec![] };
    for text in [
        "space size=16M chunk=4K",
        "space chunk=0x1000 size=16384K\r\n",
        "# why\n\n  \t\n\tspace   size=16m chunk=4096 # odd\n#",
    ] {
        assert_eq!(text.parse::<Trace>().as_ref(), Ok(&expected), "{text:?}");
    }
    assert_eq!(expected.to_string(), SPACE);
}

const K: u64 = 1 << 10;
const M: u64 = 1 << 20;

fn request() -> AllocRequest {
    AllocRequest { size: 8 * M, min_block_size: 4 * K, ..AllocRequest::default() }
}

#[rstest]
#[case("8M", request())]
#[case("8M align=4M", AllocRequest { min_block_size: 4 * M, ..request() })]
#[case("8M range=0..16M", AllocRequest { range: true, end: 16 * M, ..request() })]
#[case("8M range=0..0", AllocRequest { range: true, ..request() })]
#[case("8M start=1M end=2M", AllocRequest { start: M, end: 2 * M, ..request() })]
#[case("8M start=1M", AllocRequest { start: M, ..request() })]
#[case("8M end=2M", AllocRequest { end: 2 * M, ..request() })]
#[case("8M topdown", AllocRequest { top_down: true, ..request() })]
#[case(
    "8M contiguous clear topdown trim-disable",
    AllocRequest { top_down: true, flags: GpuBuddyAllocFlags::all(), ..request() }
)]
fn allocations(#[case] text: &str, #[case] request: AllocRequest) {
    let text = format!("{SPACE}a = alloc {text}\n");
    assert_eq!(read(&text), [Operation::Alloc { id: 0, request }]);
    assert_eq!(text.parse::<Trace>().unwrap().to_string(), text);
}

#[test]
fn settings_come_in_any_order() {
    assert_eq!(
        read(&format!("{SPACE}x = alloc 8M clear range=1M..9M contiguous align=1M")),
        read(&format!("{SPACE}_9 = alloc 8192K align=1M range=1M..9M contiguous clear # same"))
    );
}

#[rstest]
#[case("free a", Operation::Free { id: 0, cleared: false })]
#[case("free a cleared", Operation::Free { id: 0, cleared: true })]
#[case("free a[2]", Operation::FreeBlock { id: 0, index: 2, cleared: false })]
#[case("free a[0] cleared", Operation::FreeBlock { id: 0, index: 0, cleared: true })]
#[case("trim a 4M", Operation::Trim { id: 0, start: None, new_size: 4 * M })]
#[case("trim a 4M start=0", Operation::Trim { id: 0, start: Some(0), new_size: 4 * M })]
#[case("reset clear", Operation::ResetClear { clear: true })]
#[case("reset dirty", Operation::ResetClear { clear: false })]
#[case("lookup 12K", Operation::BlockAt { offset: 12 * K })]
#[case("fail-nth 3 times=1", Operation::FailNth { nth: 3, times: 1 })]
#[case("fail-nth 1 times=all", Operation::FailNth { nth: 1, times: u64::MAX })]
#[case("fail-nth off", Operation::FailNth { nth: 1, times: 0 })]
#[case("fini", Operation::Fini)]
fn operations(#[case] text: &str, #[case] operation: Operation) {
    assert_eq!(read_one(text), operation);
    assert_eq!(operation.to_string(), text);
}

#[test]
fn fail_nth_fails_once_unless_said() {
    assert_eq!(read_one("fail-nth 3"), Operation::FailNth { nth: 3, times: 1 });
}

#[test]
fn an_operation_alone_shows_its_alignment() {
    let operation = Operation::Alloc { id: 27, request: request() };
    assert_eq!(operation.to_string(), "ab = alloc 8M align=4K");
}

#[rstest]
#[case("0", 0)]
#[case("4096", 4096)]
#[case("0x1000", 4096)]
#[case("0x1E", 30)]
#[case("1e", 1 << 60)]
#[case("15E", 15 << 60)]
#[case("18446744073709551615", u64::MAX)]
#[case("0xffffffffffffffff", u64::MAX)]
#[case("16777215T", 16_777_215 << 40)]
fn sizes(#[case] text: &str, #[case] size: u64) {
    assert_eq!(parse_size(text), Ok(size));
}

#[rstest]
#[case("", ParseSizeError::Malformed)]
#[case("K", ParseSizeError::Malformed)]
#[case("0x", ParseSizeError::Malformed)]
#[case("0x4K", ParseSizeError::Malformed)]
#[case("+4", ParseSizeError::Malformed)]
#[case("4 K", ParseSizeError::Malformed)]
#[case("4KB", ParseSizeError::Malformed)]
#[case("1.5M", ParseSizeError::Malformed)]
#[case("٣", ParseSizeError::Malformed)]
#[case("16E", ParseSizeError::TooLarge)]
#[case("18446744073709551616", ParseSizeError::TooLarge)]
#[case("0x10000000000000000", ParseSizeError::TooLarge)]
fn bad_sizes(#[case] text: &str, #[case] error: ParseSizeError) {
    assert_eq!(parse_size(text), Err(error));
}

#[test]
fn sizes_take_the_largest_exact_suffix() {
    for (size, text) in
        [(0, "0"), (1023, "1023"), (1024, "1K"), (3 << 19, "1536K"), (1 << 63, "8E")]
    {
        assert_eq!(format_size(size), text);
    }
}

#[test]
fn names_follow_the_order_of_appearance() {
    let alloc = |id| Operation::Alloc { id, request: request() };
    let mut operations = vec![Operation::Free { id: 7, cleared: false }, alloc(900), alloc(7)];
    operations.push(Operation::Free { id: 7, cleared: false });
    let trace = Trace { space: Space::new(16 * M, 4 * K), operations };
    let text = format!("{SPACE}a = alloc 8M\nb = alloc 8M\nfree b\n");
    assert_eq!(trace.to_string(), text);
}

#[test]
fn names_never_run_out() {
    let name = |id| Operation::Free { id, cleared: false }.to_string();
    assert_eq!(name(25), "free z");
    assert_eq!(name(26), "free aa");
    assert_eq!(name(26 + 26 * 26), "free aaa");
    assert_eq!(name(u32::MAX), "free mwlqkwv");
}
