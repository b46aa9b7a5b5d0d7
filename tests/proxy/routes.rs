//! Where requests go.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use apig_proxy::config::{Listen, Methods, PathRule, with_upstream};
use apig_proxy::emulator::Accounts;
use http::{HeaderValue, Method};

use crate::credentials::Region;
use crate::support::{Proxy, Upstream, answer, config, key, route};

#[test]
fn the_longest_prefix_decides_and_is_replaced_by_the_upstream_s_path() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let mut config = config(&first);
    config.routes = vec![
        route("/flowers/red", &second, "/v1/infers/red"),
        route("/flowers", &first, "/v1/infers/all"),
    ];
    config.routes[0].stage = HeaderValue::from_static("TEST");
    let proxy = Proxy::start(&config);
    let get = |path: &str| proxy.get(path);
    assert_eq!(get("/flowers/red/1?x=+").status, 200);
    assert_eq!(get("/flowers/redder").status, 200);
    assert_eq!(get("/flowers").status, 200);
    get("/trees").assert_refused(404, "no_route");

    let red = second.only_request();
    assert_eq!(
        (red.target(), red.header("x-stage")),
        ("/v1/infers/red/1?x=%20", "TEST")
    );
    assert_eq!(red.header("host"), second.address.to_string());
    red.verified();
    let [redder, all] = first.requests().try_into().unwrap();
    assert_eq!(
        (redder.target(), all.target()),
        ("/v1/infers/all/redder", "/v1/infers/all")
    );
    redder.verified();
}

#[test]
fn plain_http_goes_to_loopback_and_is_signed_too() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", upstream.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).unwrap();
        stream
            .write_all(answer("200 OK", "", "plain").as_bytes())
            .unwrap();
        String::from_utf8(head[..length].to_vec()).unwrap()
    });
    let mut config = with_upstream(&url).unwrap();
    config.listen = listen(&["127.0.0.1:0"]);
    config.admin = None;
    let proxy = Proxy::start(&config);
    assert_eq!(proxy.get("/a").text(), "plain");
    let head = served.join().unwrap();
    assert!(
        head.starts_with("GET /base/a HTTP/1.1\r\n")
            && head.contains("authorization: SDK-HMAC-SHA256 Access=")
    );
}

#[test]
fn an_upstream_with_an_ipv6_address_is_reached_verified_and_signed_for() {
    let accounts = Accounts {
        keys: vec![key()],
        ..Accounts::default()
    };
    let region = Region::at("[::1]:0", accounts);
    let mut config = region.config("upstream = \"UPSTREAM\"\n");
    config.listen = listen(&["[::1]:0", "127.0.0.1:0"]);
    let proxy = Proxy::start(&config);
    assert!(proxy.address.is_ipv6());
    let answer = proxy.exchange("GET /a HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.assert_says(&format!("[\"host\",\"{}\"]", region.address));
}

#[test]
fn a_route_may_allow_certain_methods_and_paths_only() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    let mut limited = route("/flowers", &upstream, "/v1");
    limited.methods = Some(Methods::Only(vec![Method::POST]));
    limited.paths = Some(vec![
        PathRule::Exact("/flowers/predict".to_owned()),
        PathRule::Below("/flowers/models/".to_owned()),
    ]);
    config.routes.insert(0, limited);
    let proxy = Proxy::start(&config);
    let ask = |method: &str, path: &str| {
        let answer = proxy.exchange(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ));
        if answer.status == 405 {
            assert_eq!(answer.header("allow"), "POST");
        }
        answer.status
    };
    for (method, path, status) in [
        ("POST", "/flowers/predict", 200),
        ("POST", "/flowers/predict?a=/flowers/models/", 200),
        ("POST", "/flowers/models/1/x", 200),
        ("GET", "/flowers/predict", 405),
        ("DELETE", "/flowers/models/1", 405),
        ("POST", "/flowers", 404),
        ("POST", "/flowers/predict/", 404),
        ("POST", "/flowers/predictx", 404),
        ("POST", "/flowers/models", 404),
        ("POST", "/flowers/%70redict", 404),
        ("POST", "/flowers/models/..%2fadmin", 400),
        ("POST", "/flowers//predict", 404),
        ("GET", "/other", 200),
    ] {
        assert_eq!(ask(method, path), status, "{method} {path}");
    }
    assert_eq!(upstream.requests().len(), 4);
    assert_eq!(upstream.requests()[2].target(), "/v1/models/1/x");
}

fn listen(addresses: &[&str]) -> Vec<Listen> {
    let address = |text: &&str| Listen::Tcp(text.parse().unwrap());
    addresses.iter().map(address).collect()
}
