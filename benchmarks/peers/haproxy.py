"""HAProxy, which verifies every token anew, for its jwt_verify has no cache; knows only the key of the one issuer."""

from benchmarks.scene import INTENT, ISSUER, KEY, Peer, Scene, free_port, need


def haproxy(scene: Scene) -> Peer:
    """One thread."""
    program = need("haproxy", "apt-get install haproxy")
    port = free_port()
    (scene.folder / "public.pem").write_bytes(_public_pem(scene.jwks))
    (scene.folder / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 8192
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
    return Peer("haproxy", scene, port, [program, "-f", "haproxy.cfg", "-db"])


def _public_pem(jwks: dict) -> bytes:
    import jwt
    from cryptography.hazmat.primitives import serialization

    key = jwt.PyJWK(jwks["keys"][0]).key
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
