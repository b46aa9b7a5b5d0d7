#![no_main]

#[path = "../targets/credentials.rs"]
mod credentials;

libfuzzer_sys::fuzz_target!(|data: &[u8]| credentials::target(data));
