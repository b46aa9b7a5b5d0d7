//! The pipeline as a service, and how a reload replaces it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::Service;

use super::{CallerConnection, Pipeline, ResponseBody};

/// The current pipeline of a worker. A reload replaces it; requests that run stay with theirs.
pub type Current = RefCell<Rc<Pipeline>>;

/// The pipeline as a service, for one connection of a caller's.
pub fn service(
    current: Rc<Current>,
    caller: Rc<CallerConnection>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future = LocalBoxFuture<'static, Result<Response<ResponseBody>, Infallible>>,
> + Clone {
    tower::service_fn(move |request| {
        // The current one for the whole request, also if there is a reload meanwhile.
        let (pipeline, caller) = (Rc::clone(&current.borrow()), Rc::clone(&caller));
        async move { Ok(pipeline.serve(request, caller).await) }.boxed_local()
    })
}
