#![no_main]

#[path = "../targets/request_head.rs"]
mod request_head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| request_head::target(data));
