//! The C while its memory fails, under the contract.

#![no_main]

#[path = "../judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge::faults(&judge::faults_trace(bytes)));
