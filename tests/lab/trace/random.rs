//! Random traces, written and read.

use super::*;

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
                // A range without the flag is written only if it is not zero.
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
