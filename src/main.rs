//! The binary: arguments, configuration, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    apig_proxy::cli::memory::keep_private();
    apig_proxy::cli::run(std::env::args_os()).into()
}
