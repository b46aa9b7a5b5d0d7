//! Bodies on their way: to the gateway ([`RequestBody`]) and back ([`ResponseBody`]).

mod request;
mod response;

pub use request::RequestBody;
pub(super) use request::{Held, Progress, Streamed};
pub(super) use response::Relayed;
pub use response::ResponseBody;
