//! The binary: arguments, configuration, run, exit code.

use std::process::ExitCode;

/// The allocator of the C library does not give back the memory of closed connections (66 of 75 MiB
/// stayed, measured), and needs more CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    apig_proxy::cli::hardening::protect_memory();
    apig_proxy::cli::run(std::env::args_os())
}
