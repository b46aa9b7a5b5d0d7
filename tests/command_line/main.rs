//! The program as it is started: exit codes, messages, what is printed, and what never is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin_socket;
mod callers;
mod checks;
mod commands;
mod descriptors;
mod documentation;
mod emulated_cloud;
mod gateway;
mod inspect;
mod inspector_page;
mod inspector_switch;
mod lifecycle;
mod load;
mod log_targets;
mod memory;
mod probes;
mod program;
mod recipes;
mod reload;
mod run;
mod secrets;
mod sources;
mod starting;
mod supervision;
mod unusual_files;
mod uploads;
