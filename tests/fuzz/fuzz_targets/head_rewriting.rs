#![no_main]

#[path = "../targets/head_rewriting.rs"]
mod head_rewriting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| head_rewriting::target(data));
