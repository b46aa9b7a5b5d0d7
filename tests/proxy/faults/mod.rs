//! What happens for each fault and each bad input, by its number. `tests/faults.py` lists the numbers with
//! their tests, and fails if one has none.
//!
//! A test is named after its number. It asserts the answer, what reached the upstream, and that the
//! next request is served.

mod aborts;
mod answers;
mod breaker;
mod browsers;
mod certificates;
mod connecting;
mod early;
mod encoded;
mod guard;
mod heads;
mod http2_callers;
mod loops;
mod network;
mod passed;
mod presence;
mod readings;
mod redaction;
mod refusals;
mod requests;
mod retries;
mod routes;
mod uploads;
