#![no_main]

#[path = "../targets/gateway_error.rs"]
mod gateway_error;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway_error::target(data));
