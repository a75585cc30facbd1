//! The C in lockstep with the reference model, under the contract.

#![no_main]

#[path = "../judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge::lockstep(&judge::lockstep_trace(bytes)));
