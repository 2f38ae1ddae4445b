"""Envoy with jwt_authn, RBAC and a JSON access log, with its cache of tokens or without; knows only the keys of the one issuer."""

import json

from benchmarks.scene import INTENT, ISSUER, KEY, Peer, Scene, free_port, need

ENVOY = "type.googleapis.com/envoy.extensions."


def envoy(scene: Scene, *, cache: bool) -> Peer:
    """One worker thread."""
    program = need("envoy", "make bench-peers")
    port, name = free_port(), "envoy" if cache else "envoy-no-cache"
    provider = {
        "issuer": ISSUER,
        "audiences": ["doorward"],
        "local_jwks": {"inline_string": json.dumps(scene.jwks)},
        "payload_in_metadata": "p",
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer dwt_"}],
    }
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": 10_000}
    allowed = {
        "and_rules": {
            "rules": [
                {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
                {"header": {"name": "agent-intent", "string_match": {"exact": INTENT}}},
                {"url_path": {"path": {"prefix": "/v1/"}}},
            ]
        }
    }
    line = {
        "ts": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%",
        "bytes": "%BYTES_SENT%", "dur": "%DURATION%", "sub": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:p:sub)%",
        "task": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:p:txn)%", "intent": "%REQ(AGENT-INTENT)%",
        "upstream": "%UPSTREAM_HOST%", "flags": "%RESPONSE_FLAGS%",
    }  # fmt: skip
    manager = {
        "@type": ENVOY + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "codec_type": "HTTP1", "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH", "use_remote_address": False, "skip_xff_append": True,
        "normalize_path": True, "merge_slashes": True, "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "access_log": [{"name": "f", "typed_config": {"@type": ENVOY + "access_loggers.file.v3.FileAccessLog",
                        "path": str(scene.folder / f"{name}.log"), "log_format": {"json_format": line}}}],
        "route_config": {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "u", "timeout": "0s"}}],
            "request_headers_to_remove": ["authorization", "agent-intent"],
            "request_headers_to_add": [{"header": {"key": "x-api-key", "value": KEY}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]}]},
        "http_filters": [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": {"@type": ENVOY + "filters.http.jwt_authn.v3.JwtAuthentication",
             "providers": {"g": provider}, "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "g"}}]}},
            {"name": "envoy.filters.http.rbac", "typed_config": {"@type": ENVOY + "filters.http.rbac.v3.RBAC",
             "rules": {"action": "ALLOW", "policies": {"read": {"permissions": [allowed], "principals": [{"any": True}]}}}}},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": ENVOY + "filters.http.router.v3.Router", "suppress_envoy_headers": True}},
        ],
    }  # fmt: skip
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": scene.upstream_port}}}}
    document = {
        "static_resources": {
            "listeners": [{"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                           "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}],
            "clusters": [{"name": "u", "type": "STATIC", "connect_timeout": "5s",
                          "load_assignment": {"cluster_name": "u", "endpoints": [{"lb_endpoints": [endpoint]}]},
                          "circuit_breakers": {"thresholds": [{"max_connections": 4096, "max_requests": 4096, "max_pending_requests": 4096}]}}],
        }
    }  # fmt: skip
    (scene.folder / f"{name}.json").write_text(json.dumps(document))
    words = [program, "-c", f"{name}.json", "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return Peer(name, scene, port, words)
