//! The text of traces: what is read, what is written, and where it goes wrong.

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

/// What is wrong in the text after the space, which is line 1.
#[rstest]
#[case(
    "fre a",
    "2, column 1: expected 'NAME = alloc', 'NAME += alloc', 'free', 'trim', 'reset', 'lookup', 'fail-nth' or 'fini', found 'fre'"
)]
#[case(
    "a=alloc 4K",
    "2, column 1: expected 'NAME = alloc', 'NAME += alloc', 'free', 'trim', 'reset', 'lookup', 'fail-nth' or 'fini', found 'a=alloc'"
)]
#[case(
    "space size=16M chunk=4K",
    "2, column 1: expected the space to be given once, found 'space'"
)]
#[case("A = alloc 4K", "2, column 1: expected a name of small letters, digits and '_', found 'A'")]
#[case("a = free", "2, column 5: expected 'alloc', found 'free'")]
#[case("a =", "2, column 4: expected 'alloc', found the end of the line")]
#[case("a = alloc", "2, column 10: expected a size such as 4K, found the end of the line")]
#[case("a = alloc foo", "2, column 11: expected a size such as 4K, found 'foo'")]
#[case("a = alloc -4K", "2, column 11: expected a size such as 4K, found '-4K'")]
#[case("a = alloc 16E", "2, column 11: expected a number that fits in 64 bits, found '16E'")]
#[case("a = alloc 4K align=x", "2, column 20: expected a size such as 4K, found 'x'")]
#[case("a = alloc 4K align=", "2, column 14: expected a size such as 4K, found 'align='")]
#[case("a = alloc 4K range=0", "2, column 20: expected a range such as 0..16M, found '0'")]
#[case("a = alloc 4K range=0..", "2, column 20: expected a size such as 4K, found '0..'")]
#[case("a = alloc 4K range=0..y", "2, column 23: expected a size such as 4K, found 'y'")]
#[case(
    "a = alloc 4K range=0..4K start=0",
    "2, column 26: expected each setting once, found 'start=0'"
)]
#[case(
    "a = alloc 4K end=0 range=0..4K",
    "2, column 20: expected each setting once, found 'range=0..4K'"
)]
#[case("a = alloc 4K clear clear", "2, column 20: expected each setting once, found 'clear'")]
#[case(
    "a = alloc 4K clear=1",
    "2, column 14: expected 'align=', 'range=', 'start=', 'end=', 'contiguous', 'clear', \
     'topdown', 'trim-disable', 'flags=' or the end of the line, found 'clear=1'"
)]
#[case(
    "a = alloc 4K\na = alloc 4K",
    "3, column 1: expected a name that is not taken yet, found 'a'"
)]
#[case("free a", "2, column 6: expected an allocation made above, found 'a'")]
#[case(
    "free",
    "2, column 5: expected a name of small letters, digits and '_', found the end of the line"
)]
#[case(
    "a = alloc 4K\nfree a clean",
    "3, column 8: expected 'cleared' or the end of the line, found 'clean'"
)]
#[case(
    "a = alloc 4K\nfree a cleared now",
    "3, column 16: expected the end of the line, found 'now'"
)]
#[case("a = alloc 4K\nfree a[x]", "3, column 8: expected an index such as [2], found 'x'")]
#[case("a = alloc 4K\nfree a[]", "3, column 6: expected an index such as [2], found 'a[]'")]
#[case("a = alloc 4K\nfree a[1", "3, column 6: expected an index such as [2], found 'a[1'")]
#[case(
    "a = alloc 4K\nfree a[1]2",
    "3, column 10: expected a blank or the end of the line, found '2'"
)]
#[case(
    "a = alloc 4K\ntrim a",
    "3, column 7: expected a size such as 4K, found the end of the line"
)]
#[case(
    "a = alloc 4K\ntrim a 4K 8K",
    "3, column 11: expected 'start=' or the end of the line, found '8K'"
)]
#[case(
    "a = alloc 4K\ntrim a 4K start=8K x",
    "3, column 20: expected the end of the line, found 'x'"
)]
#[case("reset", "2, column 6: expected 'clear' or 'dirty', found the end of the line")]
#[case("reset clean", "2, column 7: expected 'clear' or 'dirty', found 'clean'")]
#[case("lookup 4K 8K", "2, column 11: expected the end of the line, found '8K'")]
#[case("lookup ü", "2, column 8: expected a size such as 4K, found 'ü'")]
#[case(
    "ü lookup",
    "2, column 1: expected 'NAME = alloc', 'NAME += alloc', 'free', 'trim', 'reset', 'lookup', 'fail-nth' or 'fini', found 'ü'"
)]
#[case("\t lookup \u{1}", "2, column 10: expected a size such as 4K, found '\\u{1}'")]
#[case("fail-nth 0", "2, column 10: expected a count from 1 up, found '0'")]
#[case("fail-nth 4K", "2, column 10: expected a count from 1 up, found '4K'")]
#[case("fail-nth 3 times=0", "2, column 18: expected a count from 1 up, found '0'")]
#[case(
    "fail-nth 3 always",
    "2, column 12: expected 'times=' or the end of the line, found 'always'"
)]
#[case("fail-nth off 3", "2, column 14: expected the end of the line, found '3'")]
#[case(
    "fail-nth 18446744073709551616",
    "2, column 10: expected a number that fits in 64 bits, found '18446744073709551616'"
)]
fn malformed(#[case] text: &str, #[case] message: &str) {
    let error = format!("{SPACE}{text}\n").parse::<Trace>().unwrap_err();
    assert_eq!(error.to_string(), format!("line {message}"));
}

/// What is wrong with the space.
#[rstest]
#[case(
    "",
    "1, column 1: expected the space first, as in 'space size=16M chunk=4K', found the end of the text"
)]
#[case(
    "\n# nothing\n",
    "2, column 1: expected the space first, as in 'space size=16M chunk=4K', found the end of the text"
)]
#[case(
    "a = alloc 4K",
    "1, column 1: expected the space first, as in 'space size=16M chunk=4K', found 'a'"
)]
#[case("space", "1, column 6: expected 'size=', as in 'size=16M', found the end of the line")]
#[case(
    "space size=16M  ",
    "1, column 15: expected 'chunk=', as in 'chunk=4K', found the end of the line"
)]
#[case("space size=16M size=8M", "1, column 16: expected each setting once, found 'size=8M'")]
#[case(
    "space size=16M chunk=4K x",
    "1, column 25: expected 'base=' or the end of the line, found 'x'"
)]
#[case("space size= chunk=4K", "1, column 7: expected a size such as 4K, found 'size='")]
fn malformed_space(#[case] text: &str, #[case] message: &str) {
    let error = text.parse::<Trace>().unwrap_err();
    assert_eq!(error.to_string(), format!("line {message}"));
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
fn there_are_names_enough() {
    let name = |id| Operation::Free { id, cleared: false }.to_string();
    assert_eq!(name(25), "free z");
    assert_eq!(name(26), "free aa");
    assert_eq!(name(26 + 26 * 26), "free aaa");
    assert_eq!(name(u32::MAX), "free mwlqkwv");
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), (0..64u32, 0..32u64).prop_map(|(shift, number)| number << shift)]
}

fn alloc_request() -> impl Strategy<Value = AllocRequest> {
    let flags = any::<[bool; 5]>();
    (size(), size(), size(), size(), flags).prop_map(
        |(start, end, size, min_block_size, [range, top_down, contiguous, clear, trim_disable])| {
            let mut flags = GpuBuddyAllocFlags::empty();
            flags.set(GpuBuddyAllocFlag::Contiguous, contiguous);
            flags.set(GpuBuddyAllocFlag::Clear, clear);
            flags.set(GpuBuddyAllocFlag::TrimDisable, trim_disable);
            // Bits that have no name.
            let extra_flags = start & size & !0x2f;
            AllocRequest { start, end, size, min_block_size, range, top_down, flags, extra_flags }
        },
    )
}

/// An operation on one of a few allocations, which need not exist.
fn operation() -> impl Strategy<Value = Operation> {
    let id = || 0..40u32;
    prop_oneof![
        (id(), alloc_request()).prop_map(|(id, request)| Operation::Alloc { id, request }),
        (id(), any::<bool>()).prop_map(|(id, cleared)| Operation::Free { id, cleared }),
        (id(), any::<usize>(), any::<bool>())
            .prop_map(|(id, index, cleared)| Operation::FreeBlock { id, index, cleared }),
        (id(), any::<Option<u64>>(), size()).prop_map(|(id, start, new_size)| Operation::Trim {
            id,
            start,
            new_size
        }),
        any::<bool>().prop_map(|clear| Operation::ResetClear { clear }),
        size().prop_map(|offset| Operation::BlockAt { offset }),
        (1..=u64::MAX, prop_oneof![0..3u64, Just(u64::MAX), any::<u64>()]).prop_map(
            |(nth, times)| { Operation::FailNth { nth: if times == 0 { 1 } else { nth }, times } }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(
        size in size(),
        chunk_size in size(),
        operations in prop::collection::vec(operation(), 0..60),
    ) {
        let written = Trace { space: Space::new(size, chunk_size), operations }.to_string();
        let read: Trace = written.parse()?;
        prop_assert_eq!(&read.to_string(), &written);
        // Once numbered, nothing is lost.
        prop_assert_eq!(written.parse::<Trace>()?, read);
    }

    #[test]
    fn nothing_is_lost(size in size(), chunk_size in size(), requests in prop::collection::vec(alloc_request(), 0..60)) {
        let ids = 0..;
        let operations = requests
            .into_iter()
            .zip(ids)
            .flat_map(|(request, id)| {
                // A range without the flag is there only where it is not zero.
                let free = Operation::Free { id: id / 2, cleared: id % 3 == 0 };
                [Some(Operation::Alloc { id, request }), (id % 2 == 0).then_some(free)]
            })
            .flatten()
            .collect();
        let trace = Trace { space: Space::new(size, chunk_size), operations };
        prop_assert_eq!(trace.to_string().parse::<Trace>()?, trace);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(space|a|=|alloc|free|[ \n#=\\[\\].0-9a-z\u{e9}]){0,40}") {
        let _ = text.parse::<Trace>();
        if let Err(error) = format!("{SPACE}{text}").parse::<Trace>() {
            let line = format!("{SPACE}{text}").lines().nth(error.line - 1).unwrap_or("").to_owned();
            prop_assert!(error.column <= line.chars().count() + 1, "{}", error);
        }
    }
}
