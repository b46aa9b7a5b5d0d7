//! Routing, and paths whose spelling is meant to circumvent routes, methods and allowed paths: number 103.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use apig_proxy::config::{Listen, Methods, PathPattern, with_upstream};
use apig_proxy::emulator::{Accounts, Readings};
use http::{HeaderValue, Method};

use crate::credentials::Region;
use crate::support::{Proxy, Upstream, config, key, ok, read_until, request, route};

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
    for path in ["/flowers/red/1?x=+", "/flowers/redder", "/flowers"] {
        proxy.get(path).about(path).assert_status(200);
    }
    proxy.get("/trees").assert_refused(404, "no_route");
    let red = second.only_request();
    assert_eq!(red.target(), "/v1/infers/red/1?x=%20");
    assert_eq!(red.header("x-stage"), "TEST");
    assert_eq!(red.header("host"), second.address.to_string());
    red.verified();
    assert_eq!(targets(&first), ["/v1/infers/all/redder", "/v1/infers/all"]);
}

#[test]
fn plain_http_goes_to_loopback_and_is_signed_too() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", upstream.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        let head = read_until(&mut stream, b"\r\n\r\n").unwrap();
        stream.write_all(ok("plain").as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    });
    let mut config = with_upstream(&url).unwrap();
    config.listen = listen(&["127.0.0.1:0"]);
    config.admin = None;
    assert_eq!(Proxy::start(&config).get("/a").text(), "plain");
    let head = served.join().unwrap();
    assert!(head.starts_with("GET /base/a HTTP/1.1\r\n"), "{head}");
    let signed = "authorization: SDK-HMAC-SHA256 Access=";
    assert!(head.contains(signed), "{head}");
}

#[test]
fn an_upstream_with_an_ipv6_address_is_reached_verified_and_signed_for() {
    let accounts = Accounts {
        keys: vec![key()],
        ..Accounts::default()
    };
    let region = Region::at("[::1]:0", accounts, Readings::default());
    let mut config = region.config("upstream = \"UPSTREAM\"\n");
    config.listen = listen(&["[::1]:0", "127.0.0.1:0"]);
    let proxy = Proxy::start(&config);
    assert!(proxy.address.is_ipv6());
    let answer = proxy.exchange("GET /a HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    answer.assert_status(200);
    answer.assert_says(&format!("[\"host\",\"{}\"]", region.address));
}

fn listen(addresses: &[&str]) -> Vec<Listen> {
    let address = |text: &&str| Listen::Tcp(text.parse().unwrap());
    addresses.iter().map(address).collect()
}

/// Two upstreams: one with limits for `/flowers`, one for everything else.
fn limited(paths: Option<Vec<PathPattern>>) -> (Upstream, Upstream, Proxy) {
    let (flowers, others) = (Upstream::start(), Upstream::start());
    let mut config = config(&others);
    let mut limited = route("/flowers", &flowers, "/v1");
    limited.methods = Some(Methods::Only(vec![Method::GET]));
    limited.paths = paths;
    let garden = route("/caf%C3%A9/garden", &flowers, "/garden");
    config.routes = vec![garden, limited, config.routes.remove(0)];
    let proxy = Proxy::start(&config);
    (flowers, others, proxy)
}

/// Checks the status of the answer to each of these requests, and the reason of a refusal.
fn ask<'a>(proxy: &Proxy, method: &str, paths: impl IntoIterator<Item = &'a str>, status: u16) {
    for path in paths {
        let answer = proxy.exchange(request(&format!("{method} {path}"), "", ""));
        answer.about((method, path)).assert_status(status);
        match status {
            404 => assert_eq!(answer.code(), "no_route"),
            405 => answer.assert_header(405, "allow", "GET"),
            _ => {}
        }
    }
}

/// The targets of the requests that arrived, whose signatures are checked.
fn targets(upstream: &Upstream) -> Vec<String> {
    let requests = upstream.requests();
    let target = requests.iter().map(|seen| {
        seen.verified();
        seen.target().to_owned()
    });
    target.collect()
}

#[test]
fn fault_103_a_path_that_may_be_read_as_one_of_another_route_has_no_route() {
    let (flowers, others, proxy) = limited(None);
    let paths = "/%66lowers /%66lowers/1 /flower%73/1 //flowers ///flowers/1 /%2Fflowers/1 \
            /%2fflowers /flowers%2Fx /flowers%2fx /flowers%2F //%66lowers%2f%2Fx \
            /%66%6c%6f%77%65%72%73?a=1 /caf%c3%a9/garden /%63af%C3%A9/garden/1 \
            //caf%C3%A9/garden /caf%C3%A9//garden /caf%C3%A9%2Fgarden \
            http://localhost//flowers";
    for method in ["GET", "DELETE"] {
        ask(&proxy, method, paths.split_whitespace(), 404);
    }
    assert!(flowers.requests().is_empty() && others.requests().is_empty());
    ask(&proxy, "GET", ["/next"], 200);
    assert_eq!(targets(&others), ["/next"]);
}

#[test]
fn fault_103_slashes_and_escapes_within_a_route_go_out_as_they_came() {
    let (flowers, others, proxy) = limited(None);
    let within = [
        ("/flowers//1", "/v1//1"),
        ("/flowers/", "/v1"),
        ("/flowers//", "/v1//"),
        ("/flowers/a%2Fb", "/v1/a%2Fb"),
        ("/flowers/%2F%2fa", "/v1/%2F%2fa"),
        ("/flowers/%66lowers?b=//c%2F", "/v1/%66lowers?b=//c%2F"),
        ("/flowers/caf%C3%A9//x%20y", "/v1/caf%C3%A9//x%20y"),
        ("/caf%C3%A9/garden//%61", "/garden//%61"),
    ];
    // The gateway decodes once, so the last ones are not read as `flowers`.
    let elsewhere = "// //trees /trees%2Fx//y /a%2Fflowers /a//flowers /a%00b /flowers%252Fx /%2566lowers /flowers%5Cx \
        /Flowers /flowersx";
    ask(&proxy, "GET", within.map(|(path, _)| path), 200);
    // The limits of the route hold for each spelling that stays within it.
    let limited = within[..7].iter().map(|(path, _)| *path);
    ask(&proxy, "DELETE", limited, 405);
    ask(&proxy, "DELETE", elsewhere.split_whitespace(), 200);
    assert_eq!(targets(&flowers), within.map(|(_, target)| target));
    assert_eq!(targets(&others).join(" "), elsewhere);
}

#[test]
fn fault_103_methods_of_a_route_are_not_circumvented_by_a_header() {
    let (flowers, others, proxy) = limited(None);
    for name in [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X_Method_Override",
    ] {
        let header = format!("{name}: DELETE");
        let answer = proxy.exchange(request("GET /flowers/1", &header, ""));
        answer.about(name).assert_header(405, "allow", "GET");
        let answer = proxy.exchange(request("GET /trees", &header, ""));
        answer.about(name).assert_status(200);
    }
    assert_eq!((flowers.requests().len(), others.requests().len()), (0, 3));
}

#[test]
fn fault_103_allowed_paths_are_not_circumvented_by_spelling() {
    let rules = ["/flowers/predict", "/flowers/models/*"];
    let rules = rules.map(|rule| PathPattern::new(rule).unwrap());
    let (flowers, others, proxy) = limited(Some(rules.into()));
    let allowed = "/flowers/predict /flowers/predict?a=/flowers/models/ /flowers/models/1/x /flowers/models//x \
        /flowers/models/a%2Fb /flowers/models/%2F";
    let refused = "/flowers /flowers/predict/ /flowers/predictx /flowers/models /flowers/%70redict /flowers//predict \
        /flowers/admin /flowers/%61dmin /flowers//admin /%66lowers/admin //flowers/admin /flowers%2Fadmin \
        /flowers%2Fpredict /flowers/models%2Fx /flowers//models/x";
    ask(&proxy, "GET", allowed.split_whitespace(), 200);
    ask(&proxy, "GET", refused.split_whitespace(), 404);
    ask(&proxy, "GET", ["/flowers/models/..%2fadmin"], 400);
    let only_get = ["/flowers/predict", "/flowers/models/1"];
    ask(&proxy, "POST", only_get, 405);
    assert_eq!((flowers.requests().len(), others.requests().len()), (6, 0));
    assert_eq!(targets(&flowers)[2], "/v1/models/1/x");
}

#[test]
fn fault_103_a_single_route_takes_every_spelling() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let paths = "// /%66lowers //flowers /flowers%2Fx /%2F%2f/a// /%252F";
    ask(&proxy, "GET", paths.split(' '), 200);
    assert_eq!(targets(&upstream).join(" "), paths);
}
