//! Trace files: what they keep, what they refuse, and the page that describes them.

use std::fs;

use gpu_buddy::diff::{
    Capability, Found, Implementation, KernelC, Lockstep, Operation, Outcome, SafeApi, Settings,
    Space, Trace, TraceFile, reference::Reference,
};
use gpu_buddy::{AllocRequest, Error, GpuBuddyAllocFlag, InvalidArgument};
use rstest::rstest;

const SPACE: &str = "space size=16M chunk=4K\n";
const K: u64 = 1 << 10;
const M: u64 = 1 << 20;

fn request_of(text: &str) -> AllocRequest {
    let trace: Trace = format!("{SPACE}a = alloc {text}").parse().unwrap();
    match &trace.operations[..] {
        [Operation::Alloc { request, .. }] => request.clone(),
        other => panic!("{other:?}"),
    }
}

/// The message about the text after the space, which is line 1.
fn refusal(text: &str) -> String {
    format!("{SPACE}{text}").parse::<Trace>().unwrap_err().to_string()
}

#[test]
fn flags_have_numbers() {
    let plain = AllocRequest { size: 4 * K, min_block_size: 4 * K, ..AllocRequest::default() };
    assert_eq!(request_of("4K flags=0"), plain);
    let all = AllocRequest {
        range: true,
        top_down: true,
        flags: GpuBuddyAllocFlag::Contiguous
            | GpuBuddyAllocFlag::Clear
            | GpuBuddyAllocFlag::TrimDisable,
        extra_flags: 0x8000_0000_0000_0050,
        ..plain.clone()
    };
    assert_eq!(request_of("4K flags=0x800000000000007f"), all);
    assert_eq!(request_of("4K flags=9223372036854775935"), all);
    assert_eq!(
        request_of("4K clear topdown flags=0x10"),
        AllocRequest {
            top_down: true,
            flags: GpuBuddyAllocFlag::Clear.into(),
            extra_flags: 0x10,
            ..plain
        }
    );
    // What has a word is written as the word.
    let trace: Trace = format!("{SPACE}a = alloc 4K flags=0x58\n").parse().unwrap();
    assert_eq!(trace.to_string(), format!("{SPACE}a = alloc 4K clear flags=0x50\n"));
}

#[rstest]
#[case("a = alloc 4K clear flags=0x8", "2, column 20: expected each setting once")]
#[case("a = alloc 4K flags=0x2 topdown", "2, column 24: expected each setting once")]
#[case("a = alloc 4K range=0..4K flags=1", "2, column 26: expected each setting once")]
#[case("a = alloc 4K flags=1 flags=2", "2, column 22: expected each setting once")]
#[case("a = alloc 4K flags=", "2, column 14: expected flags such as 0x14, found 'flags='")]
#[case("a = alloc 4K flags=4K", "2, column 20: expected flags such as 0x14, found '4K'")]
#[case("a = alloc 4K flags=0xg", "2, column 20: expected flags such as 0x14, found '0xg'")]
#[case(
    "a = alloc 4K flags=0x10000000000000000",
    "2, column 20: expected a number that fits in 64 bits"
)]
#[case("a += alloc 4K", "2, column 1: expected an allocation made above, found 'a'")]
#[case("a = alloc 4K\na += free", "3, column 6: expected 'alloc', found 'free'")]
#[case("a = alloc 4K\nA += alloc 4K", "3, column 1: expected a name of small letters")]
fn what_cannot_be_said_is_refused(#[case] text: &str, #[case] message: &str) {
    let is = refusal(text);
    assert!(is.starts_with(&format!("line {message}")), "{is}");
}

/// Any use of an allocation after its free is an error.
#[rstest]
#[case("free it", 6)]
#[case("free it cleared", 6)]
#[case("free it[0]", 6)]
#[case("trim it 4K", 6)]
#[case("it += alloc 4K", 1)]
fn a_second_free_is_refused(#[case] line: &str, #[case] column: usize) {
    let text = format!("it = alloc 8K\nfree it[0]\nfree it[0]\nfree it # all\n\n{line}");
    assert_eq!(
        refusal(&text),
        format!(
            "line 7, column {column}: expected an allocation that is not freed yet, found 'it', \
             which line 5 frees"
        )
    );
}

/// A trace in Rust may free twice: the second free is skipped, and is not written.
#[test]
fn a_second_free_has_no_line() {
    let text = format!("{SPACE}a = alloc 8K\nfree a\n");
    let mut trace: Trace = text.parse().unwrap();
    trace.operations.push(Operation::Free { id: 0, cleared: true });
    trace.operations.push(Operation::Trim { id: 0, start: None, new_size: 4096 });
    assert_eq!(trace.to_string(), text);
}

#[test]
fn a_long_word_is_cut() {
    let text = "x".repeat(1 << 20);
    let error = text.parse::<Trace>().unwrap_err();
    assert_eq!(error.found, Found::Word(format!("{}…", "x".repeat(40))));
    let error = format!("{SPACE}a = alloc ü{text}").parse::<Trace>().unwrap_err();
    assert_eq!(error.found, Found::Word(format!("ü{}…", "x".repeat(39))));
    let error = format!("{SPACE}{text} = alloc 4K\nfree {text}\nfree {text}\n");
    let error = error.parse::<TraceFile>().unwrap_err();
    assert_eq!(error.found, Found::Freed { name: format!("{}…", "x".repeat(40)), line: 3 });
    // What fits is whole.
    let word = "ü".repeat(40);
    assert_eq!(word.parse::<Trace>().unwrap_err().found, Found::Word(word));
}

#[test]
fn a_base_is_part_of_the_space() {
    let text = "space size=16M chunk=4K base=4G\n";
    let trace: Trace = text.parse().unwrap();
    assert_eq!(trace.space, Space { base: 4 << 30, ..Space::new(16 * M, 4 * K) });
    assert_eq!(trace.to_string(), text);
    let largest = "space base=0xfffffffffeffffff size=16M chunk=4K";
    assert!(largest.parse::<Trace>().is_ok());
    let error = "space base=0xffffffffff000000 size=16M chunk=4K".parse::<Trace>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 12: expected a base that fits in 64 bits with the size, found \
         '0xffffffffff000000'"
    );
}

/// Offsets count from the start of the space with any base.
#[test]
fn a_base_changes_nothing() {
    let text = format!(
        "{SPACE}a = alloc 8M range=0..8M\nb = alloc 12K clear\ntrim a 1M start=2M\nlookup 2M\n\
         lookup 16M\nfree a\n"
    );
    let mut trace: Trace = text.parse().unwrap();
    trace.space.base = 1 << 40;
    let settings = Settings { full_check_interval: 1, ..Settings::default() };
    assert_eq!(trace.run(Lockstep::new::<SafeApi, KernelC>, settings).unwrap(), None);
    // It reached the safe API.
    let api = SafeApi::create(trace.space).unwrap();
    assert_eq!(api.buddy().base_offset(), 1 << 40);
    // One that is too large is refused by it, and that is no finding.
    let too_large = Space { base: u64::MAX - M, ..trace.space };
    let alone = Lockstep::alone::<SafeApi>(too_large, settings);
    assert!(matches!(alone, Err(gpu_buddy::diff::NotCreated::Refused(_))));
}

/// Bits without a name reach the C, but not an allocator that does not take them.
#[test]
fn unknown_flags_reach_the_c_alone() {
    let space = Space::new(16 * M, 4 * K);
    let request = AllocRequest {
        size: 4 * K,
        min_block_size: 4 * K,
        extra_flags: 1 << 40,
        ..AllocRequest::default()
    };
    let operation = Operation::Alloc { id: 0, request: request.clone() };
    let mut pair = Lockstep::new::<KernelC, Reference>(space, Settings::default()).unwrap();
    let step = pair.step(&operation);
    assert_eq!((step.outcome, step.findings), (Outcome::Done, vec![]));
    let mut alone = Lockstep::alone::<SafeApi>(space, Settings::default()).unwrap();
    assert_eq!(alone.step(&operation).outcome, Outcome::Skipped);
    let api = SafeApi::create(space).unwrap();
    assert!(!api.capabilities().intersects(Capability::ExtraFlags | Capability::AllocOnto));
    let error = api.buddy().alloc(&request).map(|_| ()).unwrap_err();
    let unknown = InvalidArgument::UnknownFlags { bits: 1 << 40 };
    assert_eq!(error, Error::InvalidArgument(unknown));
}

const FILE: &str = "\
# Why this was written.

space   size=0x1000000 chunk=4K # 16M
# The first one.
scanout = alloc   8M
#
cursor_0 = alloc 4096 # small

scanout += alloc 4K # grows
free scanout[0]
free cursor_0 cleared
# The end.
";

#[test]
fn a_file_keeps_what_was_written() {
    let file: TraceFile = FILE.parse().unwrap();
    assert_eq!(file.to_string(), FILE);
    assert_eq!(file.trace(), &FILE.parse().unwrap());
    assert_eq!(file.space().before().collect::<Vec<_>>(), ["# Why this was written.", ""]);
    let line = file.operation(1);
    assert_eq!((line.number(), line.words()), (7, "cursor_0 = alloc 4096"));
    assert_eq!(line.comment(), Some("# small"));
    assert_eq!(
        (file.name(0), file.name(1), file.name(2)),
        (Some("scanout"), Some("cursor_0"), None)
    );
    assert_eq!(file.rest().collect::<Vec<_>>(), ["# The end."]);
    // Blanks around a line are not kept.
    let file: TraceFile = "\t space size=4K chunk=4K\t#\tx \r\n \n".parse().unwrap();
    assert_eq!(file.to_string(), "space size=4K chunk=4K #\tx\n\n");
}

#[test]
fn another_trace_has_the_names_of_a_file() {
    let file: TraceFile = FILE.parse().unwrap();
    let mut shorter = file.trace().clone();
    shorter.operations.remove(0);
    assert_eq!(
        file.with_names(&shorter).to_string(),
        "space size=16M chunk=4K\ncursor_0 = alloc 4K\nfree cursor_0 cleared\n"
    );
}

#[test]
fn a_file_is_refused_as_a_trace_is() {
    for text in ["", "# nothing\n", "a = alloc 4K", "space size=4K chunk=4K\nfree a\n"] {
        let error = text.parse::<TraceFile>().unwrap_err();
        assert_eq!(error, text.parse::<Trace>().unwrap_err(), "{text:?}");
    }
}

/// The code blocks of a page, in a language.
fn examples<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).map(|rest| rest.split_once("```").expect("an end").0).collect()
}

#[test]
fn the_page_is_right() {
    let page = fs::read_to_string("docs/traces.md").unwrap();
    let traces = examples(&page, "trace");
    assert_eq!(traces.len(), 5);
    for text in traces {
        let file: TraceFile = text.parse().unwrap_or_else(|error| panic!("{text}{error}"));
        assert_eq!(file.to_string().parse(), Ok(file.trace().clone()));
        // Each call is made: none is skipped.
        let start = Lockstep::alone::<KernelC>;
        let mut pair = start(file.trace().space, Settings::default()).unwrap();
        for (index, operation) in file.trace().operations.iter().enumerate() {
            let step = pair.step(operation);
            let needs_lookup = matches!(operation, Operation::BlockAt { .. })
                && !pair.capabilities().contains(Capability::BlockAt);
            assert!(step.outcome != Outcome::Skipped || needs_lookup, "{}", file.operation(index));
            assert_eq!(step.findings, [], "{}", file.operation(index));
        }
    }
    let refused = examples(&page, "refused");
    assert_eq!(refused.len(), 3);
    for text in refused {
        let (text, message) = text.split_once("--\n").expect("a message");
        assert_eq!(text.parse::<Trace>().unwrap_err().to_string(), message.trim_end());
    }
    // Lines in the table, and the words of the grammar.
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        for code in line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            let made = "space size=16M chunk=4K\na = alloc 8M\n";
            let text = match code {
                code if code.starts_with("space") => code.to_owned(),
                code if code.starts_with("a = ") => format!("{SPACE}{code}"),
                code if code.contains(' ') || code == "fini" => format!("{made}{code}"),
                setting => format!("{made}b = alloc 4K {setting}"),
            };
            text.parse::<Trace>().unwrap_or_else(|error| panic!("{code}: {error}"));
        }
    }
}
