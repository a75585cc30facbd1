//! The C while its memory fails, under the contract.

#![no_main]

#[path = "../decode.rs"]
mod decode;
#[path = "../judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge::faults(&decode::faults(bytes)));
