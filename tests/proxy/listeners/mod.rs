//! Listeners other than plain TCP, and the token that every one can require.

mod tls;
mod unix_socket;

use apig_proxy::config::CallerToken;

use crate::support::{Scene, Upstream, request};

#[test]
fn a_caller_must_send_the_configured_token_exactly_once() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.access.token = Some(CallerToken::new(b"0123456789abcdef"));
    });
    let ask = |fields: &str| scene.exchange(request("GET /next", fields, ""));
    for wrong in [
        "",
        "X-Apig-Proxy-Token: 0123456789abcdeF",
        "X-Apig-Proxy-Token: 0123456789abcde",
        "X-Apig-Proxy-Token: ",
        "X-Apig-Proxy-Token: 0123456789abcdef|X-Apig-Proxy-Token: 0123456789abcdef",
        "X_Apig_Proxy_Token: 0123456789abcdef",
    ] {
        let refused = ask(wrong);
        refused.about(wrong).assert_refused(401, "token_required");
    }
    assert!(scene.upstream.requests().is_empty());
    ask("x-apig-proxy-token: 0123456789abcdef").assert_status(200);
    // The token is not forwarded.
    let seen = scene.upstream.only_request();
    seen.assert_without(&["x-apig-proxy-token"]);
    seen.verified();
}
