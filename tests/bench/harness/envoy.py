"""The configuration of Envoy."""

TYPES = "type.googleapis.com/envoy.extensions"
# A key that opens nothing.
KEY = {"access_key_id": "AKBENCH0000000000000", "secret_access_key": "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"}
# Bodies that are hashed are held by Envoy as long as that takes.
HELD_BODY = 16 << 20


def configuration(ports: dict[str, int], upstream: int, ca_file: str, signs: str) -> dict:
    """`ports` are those of "HTTP1" and "HTTP2"; `signs` is "no", "hashed" or "unsigned" (without a hash of the body)."""
    held = HELD_BODY if signs == "hashed" else None
    listeners = [listener(codec, port, filters(signs), held) for codec, port in ports.items()]
    return {"static_resources": {"listeners": listeners, "clusters": [cluster(upstream, ca_file)]}}


def filters(signs: str) -> list[dict]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
    }
    if signs == "no":
        return [router]
    signing = {
        "name": "envoy.filters.http.aws_request_signing",
        "typed_config": {
            "@type": f"{TYPES}.filters.http.aws_request_signing.v3.AwsRequestSigning",
            "service_name": "execute-api",
            "region": "us-east-1",
            "use_unsigned_payload": signs == "unsigned",
            "host_rewrite": "upstream.test",
            "credential_provider": {"inline_credential": KEY},
        },
    }
    return [signing, router]


def listener(codec: str, port: int, http_filters: list[dict], held: int | None) -> dict:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "60s", "host_rewrite_literal": "upstream.test"}}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": codec.lower(),
        "codec_type": codec,
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": http_filters,
    }
    found = {
        "name": codec.lower(),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "enable_reuse_port": True,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }
    if held:
        found["per_connection_buffer_limit_bytes"] = held
    return found


def cluster(port: int, ca_file: str) -> dict:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    tls = {
        "@type": f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "upstream.test",
        "common_tls_context": {
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context": {
                "trusted_ca": {"filename": ca_file},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "upstream.test"}}],
            },
        },
    }
    http = {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http},
        "transport_socket": {"name": "tls", "typed_config": tls},
    }
