//! The settings of a fault.

use super::*;

/// Fault settings with extreme integers and floats.
fn faults() -> Vec<Fault> {
    let floats = [0.0, -0.0, 0.5, 1.0, -1.0, 2.0, f64::MAX, f64::MIN_POSITIVE];
    let floats = floats.into_iter().chain([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let mut faults = vec![Fault::none()];
    for value in extremes(CHUNK) {
        faults.extend([Fault::nth(value), Fault::interval(value), Fault::none().times(value)]);
        faults.extend(floats.clone().map(|float| Fault::probability(float, value)));
        for times in extremes(CHUNK) {
            faults.extend([Fault::nth(value).times(times), Fault::interval(value).times(times)]);
        }
    }
    faults
}

#[test]
fn fault_settings() {
    within(LIMIT, |note| {
        let params =
            GpuBuddyParams { base_offset: 0, size: 60 * KIB, chunk_size: alignment(CHUNK) };
        let request = AllocRequest { size: CHUNK, min_block_size: CHUNK, ..Default::default() };
        for fault in faults() {
            note(fault.clone());
            let mut counted = fault.clone();
            let made = soon(|| GpuBuddy::with_fault(params, &mut counted));
            assert!(counted.attempts() >= counted.failed());
            assert_eq!(made.err(), (counted.failed() > 0).then_some(Error::NoMemory));

            let buddy = GpuBuddy::new(params).expect("a space");
            buddy.set_fault(Some(fault));
            match soon(|| buddy.alloc(&request)) {
                Ok(blocks) => assert_eq!(blocks.size(), CHUNK),
                // The search for room goes on if a block cannot be split.
                Err(Error::NoMemory | Error::NoSpace { .. }) => {}
                Err(error) => assert!(!KERNEL.has("undo_splits"), "{error:?}"),
            }
            let counted = buddy.set_fault(None).expect("it was set");
            assert!(counted.attempts() >= counted.failed());
            if buddy.bug().is_none() {
                assert_eq!(buddy.avail(), buddy.size());
                assert_eq!(buddy.alloc(&request).expect("memory is back").size(), CHUNK);
            }
        }
    });
}
