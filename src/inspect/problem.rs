//! The errors of the inspector, all in one table.

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::answer::{ApiBody, json_of};

/// Why a request to the inspector is refused: the status, the code, and a text like
/// `what is wrong\nhint: what to do`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem(u16, pub(super) &'static str, &'static str);

impl Problem {
    /// What is wrong.
    pub(super) fn message(self) -> &'static str {
        self.2.split("\nhint: ").next().unwrap_or_default()
    }

    /// The response that refuses the request.
    pub(crate) fn response(self) -> Response<ApiBody> {
        let Self(status, code, text) = self;
        let hint = text.split_once("\nhint: ").map_or("", |(_, hint)| hint);
        let error = json!({"error": {"code": code, "message": self.message(), "hint": hint}});
        let status = StatusCode::from_u16(status).expect("the statuses of problems are valid");
        let mut response = json_of(status, &error);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response<ApiBody> {
    let mut response = NO_METHOD.response();
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

macro_rules! problems {
    ($($name:ident $status:literal $code:literal $text:literal)*) => {
        $(pub(crate) const $name: Problem = Problem($status, $code, $text);)*
    };
}

problems! {
    // Who asks.
    FORBIDDEN 403 "origin_not_allowed" "the request comes from a web page, or names another host\nhint: open the address that was printed"
    TOKEN_REQUIRED 401 "token_required"
        "the inspector needs a token\nhint: open the address that the proxy printed at its start, or use `apig-proxy inspect`"
    WRONG_TOKEN 401 "wrong_token"
        "the token is wrong\nhint: the token changes when the proxy restarts; open the address that it printed, or use `apig-proxy inspect`"
    TOO_MANY_TOKENS 429 "too_many_attempts" "too many wrong tokens were sent\nhint: wait a minute"
    TOO_MANY_READERS 429 "too_many_readers" "the feed has four readers already\nhint: close another page with the inspector"
    BUSY 503 "busy" "the inspector has too many readers\nhint: close another page or terminal with the inspector, or try again later"

    // What is asked.
    NO_FILE 404 "not_found" "the inspector has no such file\nhint: open `/inspect/`"
    NO_PATH 404 "not_found" "the API has no such path\nhint: `/inspect/v1/requests` lists requests"
    NO_METHOD 405 "method_not_allowed" "this path does not allow this method\nhint: use one of those in `Allow`"
    NOT_KEPT 404 "not_found"
        "no request with this id is kept\nhint: it may have been evicted; raise `inspect.requests` or `inspect.memory`"
    BAD_QUERY 400 "bad_query" "`after` or `limit` is not a number\nhint: `after` is the last `seq` of a response"
    BAD_FILTER 400 "bad_filter" "a term of the filter is unknown, or does not take this value\n\
        hint: use `status:4xx`, `method:POST`, `route:/flowers`, `code:APIG.0301`, `path:/x`, `id:1a2b`, \
        `is:error`, `is:hint`, `is:open`, `is:slow`, `is:replay` or plain words, each with `-` before it to exclude"
    LATE_BODY 408 "body_timeout" "the body of the request did not arrive in time"
    LONG_BODY 413 "body_too_large" "the body of the request is longer than 128 KiB, or ended early"
    FAILED 500 "failed" "the inspector has failed\nhint: its log says why; restart the proxy"

    // Whether a request can be sent again.
    BAD_ORDER 400 "bad_request" "the body is not what this path expects\nhint: send JSON like {\"confirm\": true}"
    NO_TARGET 400 "bad_request" "a new request needs a method and a target\nhint: give `edit.method` and `edit.target`"
    BAD_BASE64 400 "bad_request" "`body_base64` is not Base64"
    BAD_METHOD 400 "bad_request" "the method cannot be sent\nhint: use one like `GET` or `POST`"
    BAD_TARGET 400 "bad_request"
        "the target is not a path with an optional query\nhint: begin it with `/`, and percent-encode what URLs cannot contain"
    BAD_HEADER 400 "bad_request"
        "a header cannot be sent\nhint: use names of letters, digits and `-`, and values without line feeds"
    REPLAY_OFF 403 "replay_off" "requests with this method are not sent again here (`inspect.replay`)"
    PAUSED 409 "paused" "requests are not recorded now, so this one would not be shown\nhint: resume recording first"
    UNCONFIRMED 409 "needs_confirmation"
        "a request with this method may change something at the gateway\nhint: confirm that it is to be sent"
    WEBSOCKET 409 "websocket" "a WebSocket cannot be opened again from here\nhint: open it with its own client"
    BODY_NOT_KEPT 409 "body_not_kept" "the head or the body of the request was not kept completely\n\
        hint: edit the request and give all of it, or raise `inspect.bodies`"
    HIDDEN_VALUES 409 "hidden_values" "the request has hidden values, which the inspector does not know\n\
        hint: give them on the page of the inspector, or in `edit` of its API"
    TOO_MANY_REPLAYS 429 "too_many_replays"
        "too many requests are being sent again at once\nhint: wait until one of them has its response"
    NO_CONNECTION 503 "busy" "the proxy accepts no more connections\nhint: see `limits.connections`, or wait"
}
