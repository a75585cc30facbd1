//! What is wrong with a text, and where.

use super::*;

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
