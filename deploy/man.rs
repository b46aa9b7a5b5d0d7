//! Writes the man pages of the program and of its commands into a folder:
//!
//! ```sh
//! cargo run --example man -- FOLDER
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return ExitCode::from(64);
    };
    match clap_mangen::generate_to(apig_proxy::cli::command(), folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
