"""How large, how many and how slow a connection may be; knows nothing of the limits of grants and upstreams."""

from pydantic import Field

from gateway.kind import Config, Count, Duration, Size


class Limits(Config):
    """The bounds of the gateway's listener. Sizes are bytes, times are seconds."""

    head: Size = 32 * 1024
    """The largest request or response head; a larger request head is answered with 431."""
    headers: Count = Field(default=100, ge=8, le=1000)
    """The largest number of header lines in a head."""
    body: Size = 100 * 1024 * 1024
    """The largest request body; a larger one is answered with 413."""
    inspect: Size = 64 * 1024
    """The largest request body of an operation of which a rule reads the body; a larger one is answered with 413."""
    connections: Count = Field(default=10_000, ge=1)
    """How many client connections may be open at once; further ones are answered with 503."""
    head_timeout: Duration = Field(default=10.0, ge=0.01)
    """How long a request head may take from its first byte to its last, and before that a TLS handshake."""
    idle_timeout: Duration = 75.0
    """How long a connection may wait for its next request."""
    stream_idle_timeout: Duration = 300.0
    """How long a body may stand still in either direction; a body that moves has no total limit."""
    drain: Duration = 30.0
    """How long requests in flight may go on after SIGTERM."""
