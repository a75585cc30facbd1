//! The C beside its twin, under the contract.

#![no_main]

#[path = "../decode.rs"]
mod decode;
#[path = "../judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge::lockstep(&decode::lockstep(bytes)));
