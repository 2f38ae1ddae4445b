"""The upstreams that stand behind every peer, each on the core of the load; knows nothing of who is measured."""

import os
import subprocess

from benchmarks.scene import KEY, Scene, free_port, need


def pages(scene: Scene) -> subprocess.Popen:
    """Nginx: bodies of 64 KiB and 1 MiB, and 1 KiB for every other path; 401 unless the key was swapped."""
    nginx = need("nginx", "apt-get install nginx-light")
    port = scene.upstream_port = free_port()
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
    listen 127.0.0.1:{port} backlog=4096; root {www}; default_type application/octet-stream;
    if ($swapped = 0) {{ return 401 "not swapped"; }}
    location /v1/bodies/ {{ alias {www}/; }}
    location / {{ return 200 "{"x" * 1024}"; }}
  }}
}}
""")
    words = [nginx, "-p", str(scene.folder), "-c", "upstream.conf", "-e", "upstream.err"]
    return _started(scene, "upstream", words)


def events(scene: Scene, *interval: float) -> subprocess.Popen:
    """Our own source of server-sent events, each with the time at which it was sent; every `interval` seconds, if it is given."""
    scene.upstream_port = free_port()
    return _started(scene, "event-source", scene.program("event_source", scene.upstream_port, KEY, *interval))


def bodies(scene: Scene) -> subprocess.Popen:
    """Our own source and sink of bodies of any size."""
    scene.upstream_port = free_port()
    return _started(scene, "bodies", scene.program("body_upstream", scene.upstream_port, KEY))


def troubled(scene: Scene) -> tuple[int, subprocess.Popen]:
    """Our own upstream that resets, drips and ends early, as its path says; beside the one of the scene."""
    port = free_port()
    process = scene.spawn("troubled", scene.program("troubled_upstream", port), scene.load_core)
    scene.wait_for("troubled", process, port)
    return port, process


def _started(scene: Scene, name: str, words: list[str]) -> subprocess.Popen:
    process = scene.upstream = scene.spawn(name, words, scene.load_core)
    scene.wait_for(name, process, scene.upstream_port)
    return process
