//! Headers of answers that are relayed, dropped or rewritten: numbers 56, 60, 61.

use crate::support::{ANSWERED, FAULT, Scene, Upstream, answer, faulty, route};

#[test]
fn fault_56_connection_headers_of_the_gateway_are_not_relayed() {
    let bytes = "HTTP/1.1 200 OK\r\nConnection: close, X-Private\r\nconnection: X-Other\r\nX-Private: 1\r\nx-other: 1\r\n\
                 Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\
                 X_Other: 1\r\nProxy_Authenticate: Basic\r\nTransfer_Encoding: chunked\r\nContent_Length: 7\r\n\
                 X-Public: 1\r\ncontent-length: 2\r\n\r\nok";
    let scene = Scene::before(faulty(move |link| link.send(bytes)));
    let mut client = scene.client();
    let answer = client.send(FAULT).answer();
    assert_eq!(answer.names(), ["x-public", "date", "content-length"]);
    answer.assert_header(200, "x-public", "1");
    assert_eq!(answer.text(), "ok");
    // The caller's own connection stays open.
    client.get("/other").assert_text(200, ANSWERED);
    assert_eq!(scene.upstream.connections(), 2);
    scene.serves();
}

#[test]
fn fault_60_redirects_and_cookies_are_rewritten_to_the_proxy_and_not_followed() {
    let upstream = Upstream::replying(|seen| {
        let host = seen.header("host");
        let [to, status] = [3, 4].map(|at| seen.target().split('/').nth(at).unwrap());
        let location = match to {
            "own" => format!("https://{host}/v1/x/there?a=b"),
            "path" => "/v1/x/there?a=b".to_owned(),
            "http" => format!("http://{host}/v1/x/items/"),
            "route" => format!("https://{host}/v1/y/items"),
            _ => "http://elsewhere.example/v1/x".to_owned(),
        };
        let name = host.split(':').next().unwrap();
        let cookies = format!(
            "Set-Cookie: a=1; Path=/v1/x; Domain={name}; HttpOnly\r\nSet-Cookie: b=2; Path=/\r\n"
        );
        let fields = format!("Location: {location}\r\n{cookies}");
        answer(&format!("{status} Moved"), &fields, "moved")
    });
    let routes =
        ["x", "y"].map(|name| route(&format!("/{name}"), &upstream, &format!("/v1/{name}")));
    let scene = Scene::with(upstream, |config| config.routes = routes.into());
    for status in [301, 302, 303, 307, 308] {
        for (to, expected) in [
            ("own", "http://localhost/x/there?a=b"),
            ("path", "/x/there?a=b"),
            ("http", "http://localhost/x/items/"),
            ("route", "http://localhost/y/items"),
            ("other", "http://elsewhere.example/v1/x"),
        ] {
            scene.upstream.forget();
            let answer = scene.get(&format!("/x/{to}/{status}"));
            answer.assert_text(status, "moved");
            assert_eq!(answer.header("location"), expected);
            let cookies = answer.all("set-cookie");
            assert_eq!(cookies, ["a=1; Path=/x; HttpOnly", "b=2; Path=/"]);
            // It was not followed.
            scene.upstream.only_request();
        }
    }
}

#[test]
fn fault_61_alt_svc_is_dropped_and_cookies_are_relayed() {
    let fields =
        "Alt-Svc: h3=\":443\"\r\nSet-Cookie: a=1; Path=/\r\nX-Between: 1\r\nset-cookie: b=2\r\n";
    let scene = Scene::before(Upstream::answering(answer("200 OK", fields, ANSWERED)));
    let answer = scene.get("/");
    assert_eq!(answer.all("set-cookie"), ["a=1; Path=/", "b=2"]);
    // All values of a name keep their order; names are in lower case.
    let names = "set-cookie set-cookie x-between date content-length";
    assert_eq!(answer.names().join(" "), names);
    scene.serves();
}
