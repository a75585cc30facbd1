//! Spaces and operations with extreme numbers, on the C and on the reference model.

use super::*;

#[test]
fn spaces_in_lockstep() {
    within(LIMIT, |note| {
        let mut made = 0;
        for chunk_size in extremes(CHUNK) {
            for size in extremes(CHUNK).into_iter().chain(extremes(chunk_size.clamp(2, 1 << 62))) {
                let space = Space::new(size, chunk_size);
                note(space);
                let settings = Settings { full_check_interval: 1, ..Settings::default() };
                let started = Instant::now();
                match Lockstep::new::<KernelC, Reference>(space, settings) {
                    Ok(mut pair) => {
                        made += 1;
                        operations_in_lockstep(&mut pair, chunk_size);
                    }
                    Err(error) => assert_eq!(error, NotCreated::Refused(Errno::EINVAL)),
                }
                assert!(started.elapsed() < 4 * CALL_LIMIT, "{space:?}: {:?}", started.elapsed());
            }
        }
        assert!(made >= 20, "{made}");
    });
}

fn operations_in_lockstep(pair: &mut Lockstep, chunk_size: u64) {
    let request =
        AllocRequest { size: chunk_size, min_block_size: chunk_size, ..AllocRequest::default() };
    let mut operations = vec![Operation::Alloc { id: 0, request }];
    for value in extremes(chunk_size) {
        operations.push(Operation::BlockAt { offset: value });
        operations.push(Operation::FreeBlock {
            id: 0,
            index: (value as usize).max(1),
            cleared: false,
        });
        for new_size in extremes(chunk_size) {
            operations.push(Operation::Trim { id: 0, start: Some(value), new_size });
        }
    }
    let models = Reference::models(Module::compiled_in().features());
    for operation in &operations {
        let step = pair.step(operation);
        assert!(!models || step.findings.is_empty(), "{operation:?}: {:?}", step.findings);
    }
    let Space { size, chunk_size, .. } = pair.contract().space();
    let size = size - size % chunk_size;
    let end = pair.finish();
    assert!(!models || end.findings.is_empty(), "{:?}", end.findings);
    assert_eq!(pair.accounts().avail, size - taken(pair));
}

/// The bytes that [`Lockstep::finish`] leaves allocated, to show that they can be.
fn taken(pair: &Lockstep) -> u64 {
    let chunk_size = pair.contract().space().chunk_size;
    pair.blocks().iter().map(|block| chunk_size << block.order).sum()
}
