"""Nginx as the floor of C: header rule, swap and log; checks no token at all."""

from benchmarks.scene import INTENT, KEY, Peer, Scene, free_port, need


def nginx(scene: Scene) -> Peer:
    """One worker; streams are not buffered, as its manual advises for them."""
    program = need("nginx", "apt-get install nginx-light")
    port = free_port()
    (scene.folder / "nginx.conf").write_text(f"""
worker_processes 1; daemon off; pid nginx.pid; error_log nginx.err crit; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  client_body_temp_path n1; proxy_temp_path n2; fastcgi_temp_path n3; uwsgi_temp_path n4; scgi_temp_path n5;
  log_format j escape=json '{{"ts":$msec,"method":"$request_method","path":"$uri","status":$status,"bytes":$body_bytes_sent,"dur":$request_time,"intent":"$http_agent_intent"}}';
  access_log nginx.log j buffer=64k flush=1s;
  keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on; client_max_body_size 100m;
  upstream u {{ server 127.0.0.1:{scene.upstream_port}; keepalive 256; keepalive_requests 1000000000; }}
  map "$http_agent_intent:$request_method" $allowed {{ default 0; "{INTENT}:GET" 1; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Authorization "";
  proxy_set_header Agent-Intent ""; proxy_set_header X-Api-Key "{KEY}"; proxy_request_buffering off;
  server {{ listen 127.0.0.1:{port} backlog=4096;
    if ($allowed = 0) {{ return 403; }}
    location / {{ proxy_pass http://u; }}
    location /v1/events {{ proxy_pass http://u; proxy_buffering off; }}
  }}
}}
""")
    words = [program, "-p", str(scene.folder), "-c", "nginx.conf", "-e", "nginx.err"]
    return Peer("nginx", scene, port, words, checks_tokens=False)
