//! Random operations, each of which may fail.

use super::*;

/// Operations on a space of 16 chunks.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let chunks = |range| prop::sample::select(Vec::from_iter(range));
    let chunk = SZ_4K as u64;
    let flags = prop::sample::select(vec!["", "", "contiguous", "clear", "trim-disable"]);
    let alloc = (chunks(1..12u64), 0..4u32, chunks(0..16u64), 1..17u64, 0..4u8, flags).prop_map(
        move |(size, align, start, length, mode, flag)| {
            let (start, end) = if mode == 3 { (0, 16) } else { (start, (start + length).min(16)) };
            let bounds = match mode {
                0 => String::new(),
                1 => format!("range={}..{} ", start * chunk, end * chunk),
                2 => "topdown ".to_owned(),
                _ => format!("end={} ", end * chunk),
            };
            let align = chunk << align;
            let line = format!("a = alloc {} align={align} {bounds}{flag}", size * chunk);
            let text = format!("space size=64K chunk=4K\n{line}");
            let Ok(Trace { mut operations, .. }) = text.parse() else { unreachable!("{text}") };
            operations.remove(0)
        },
    );
    let operation = prop_oneof![
        4 => alloc,
        3 => (0..30u32, any::<bool>()).prop_map(|(id, cleared)| Operation::Free { id, cleared }),
        1 => (0..30u32, 0..16u64, 1..8u64).prop_map(move |(id, start, size)| Operation::Trim {
            id,
            start: (start > 0).then_some(start * chunk),
            new_size: size * chunk,
        }),
    ];
    prop::collection::vec(operation, 1..30).prop_map(|mut operations| {
        for (number, operation) in (0..).zip(&mut operations) {
            if let Operation::Alloc { id, .. } = operation {
                *id = number;
            }
        }
        operations
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever came before, a call that fails leaves no split behind, loses only the clear
    /// state that merging by force loses, and succeeds with memory.
    #[test]
    fn any_call_may_fail(operations in operations()) {
        let space = Space::new(SZ_64K as u64, SZ_4K as u64);
        // Calls that fail even with memory are left out.
        let mut player = Player::new(space);
        let mut before: Vec<Operation> = Vec::new();
        for operation in operations {
            let was = player.buddy().snapshot().unwrap();
            let result = player.play(&operation);
            let mut changed = player.buddy().snapshot().unwrap() != was;
            if result.is_ok() && matches!(operation, Operation::Alloc { .. } | Operation::Trim { .. }) {
                for times in [1, 2, u64::MAX] {
                    for nth in 1.. {
                        let fault = Fault::nth(nth).times(times);
                        if fail(space, &before, &operation, &result, fault).is_none() {
                            break;
                        }
                    }
                }
            } else if result.is_err() && changed {
                // It merged by force, then failed. `play_all` cannot replay that.
                break;
            }
            changed |= result.is_ok();
            if changed {
                before.push(operation);
            }
        }
    }

    /// Allocations fail by chance or at intervals, in an allocator's whole life.
    #[test]
    fn any_allocation_may_fail(
        operations in operations(),
        probability in 0.0..1.0f64,
        seed: u64,
        interval in prop::option::of(1..9u64),
    ) {
        let mut player = Player::new(Space::new(SZ_64K as u64, SZ_4K as u64));
        let fault = interval.map_or_else(|| Fault::probability(probability, seed), Fault::interval);
        player.buddy().set_fault(Some(fault));
        for operation in operations {
            let _ = player.play(&operation);
            if player.buddy().snapshot().is_err() {
                prop_assert!(!recovers());
                return Ok(());
            }
            player.check();
        }
        player.buddy().set_fault(None);
        player.finish();
    }
}
