//! Credentials that change while they are used, and every authentication mode, with an emulated gateway
//! and the services that issue them.

mod files;
mod large_bodies;
mod lifetimes;
mod load;
mod log;
mod modes;
mod projects;
mod region;
mod renewal;
mod service_faults;

pub(crate) use load::Load;
pub(crate) use modes::{CARRIES, shown_as};
pub(crate) use region::{Region, accepted, key, put};
