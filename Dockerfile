# Doorward in a slim image: the pinned requirements, the package, a user without rights, and nothing that builds.
#
#   docker build -t doorward .
#   docker run -v "$PWD/doorward.yaml:/var/lib/doorward/doorward.yaml:ro" -v doorward-var:/var/lib/doorward/var -p 8080:8080 doorward
#
# In the configuration, `gateway.listen` has to be 0.0.0.0:8080 to be reached from outside of the container.

FROM python:3.11-slim AS build
COPY requirements/server.txt /src/requirements/server.txt
RUN python -m venv /opt/doorward \
    && /opt/doorward/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /src/requirements/server.txt
COPY pyproject.toml setup.py README.md /src/
COPY gateway /src/gateway
RUN /opt/doorward/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index /src \
    && /opt/doorward/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim
COPY --from=build /opt/doorward /opt/doorward
RUN useradd --uid 10001 --user-group --home-dir /var/lib/doorward --shell /usr/sbin/nologin doorward \
    && install --directory --owner doorward --group doorward --mode 0711 /var/lib/doorward /var/lib/doorward/var
USER doorward
WORKDIR /var/lib/doorward
VOLUME /var/lib/doorward/var
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/opt/doorward/bin/python", "-c", "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(3); s.connect('var/admin.sock'); s.sendall(b'GET /readyz HTTP/1.1\\r\\nHost: doorward\\r\\nConnection: close\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(64))"]
ENTRYPOINT ["/opt/doorward/bin/doorward"]
CMD ["serve"]
