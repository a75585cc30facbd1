//! Random arguments, most of them wrong.

use super::*;

/// Random arguments, most of them wrong: none stops the process, and the space is intact
/// afterwards.
#[rstest]
fn hostile_arguments(
    #[values(CHUNK, 16 * MIB, 13 * MIB + 20 * KIB, (1 << 44) + CHUNK, ALL)] size: u64,
    #[values(1, 2)] seed: u64,
) {
    within(LIMIT, move |note| {
        let buddy = GpuBuddy::new(params(0, size, CHUNK)).expect("a space");
        let mut random = Random::new(seed ^ size);
        let mut held: Vec<AllocatedBlocks> = Vec::new();
        let (mut made, mut failed) = (0, 0);
        let number = |random: &mut Random| match random.below(8) {
            0 => random.next(),
            1 => 1 << random.below(64),
            2 => (1_u64 << random.below(64)).wrapping_sub(CHUNK),
            3 => size.wrapping_sub(random.below(4) * CHUNK),
            4 => random.next() & !(CHUNK - 1),
            5 => 0,
            _ => random.below(size / CHUNK + 2).wrapping_mul(CHUNK),
        };
        for _ in 0..20_000 {
            let started = Instant::now();
            let numbers: [u64; 4] = std::array::from_fn(|_| number(&mut random));
            let [first, second, third, fourth] = numbers;
            let bits = random.next();
            let action = random.below(8);
            note((action, numbers, bits));
            let flags = Flags::from_bits_truncate(bits);
            let result = match action {
                0 => buddy.block_at(first).map(|_| ()),
                1 => match held.last_mut() {
                    Some(blocks) => blocks.trim((bits & 1 == 0).then_some(first), second),
                    None => Ok(()),
                },
                2 => {
                    if !held.is_empty() {
                        drop(held.swap_remove((first % held.len() as u64) as usize));
                    }
                    Ok(())
                }
                3 => match held.last_mut().and_then(|blocks| blocks.take(first as usize)) {
                    Some(block) => {
                        block.free_cleared();
                        Ok(())
                    }
                    None => Ok(()),
                },
                4 | 5 => {
                    let mode = match bits >> 32 & 3 {
                        0 => Mode::Simple,
                        1 => Mode::TopDown,
                        _ => Mode::Range(first..second),
                    };
                    let min = Alignment::new_checked(1 << (fourth % 64)).expect("a power of two");
                    buddy.alloc_blocks(mode, third, min, flags).map(|blocks| held.push(blocks))
                }
                _ => {
                    let request = AllocRequest {
                        start: first,
                        end: second,
                        size: third,
                        min_block_size: if bits & 64 == 0 { CHUNK } else { fourth },
                        range: bits & 1 == 0,
                        top_down: bits & 2 == 0,
                        flags,
                        extra_flags: 0,
                    };
                    buddy.alloc(&request).map(|blocks| held.push(blocks))
                }
            };
            match result {
                Ok(()) => made += 1,
                Err(Error::Bug(bug)) => panic!("{action} {numbers:x?} {bits:#x}: {bug}"),
                Err(error) => {
                    assert_ne!(error, InvalidArgument::Unknown.into());
                    failed += 1;
                }
            }
            assert!(started.elapsed() < CALL_LIMIT, "{action} {numbers:x?} {bits:#x}");
        }
        assert!(made > 1000 && failed > 1000, "{made} {failed}");
        drop(held);
        assert_eq!(buddy.avail(), size);
        let fini = buddy.fini().expect("the last handle");
        assert_eq!((fini.warnings, fini.bug, fini.leaked_objects), (vec![], None, 0));
    });
}
