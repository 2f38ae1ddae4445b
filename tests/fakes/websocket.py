"""The frames of a WebSocket as a server sends them, written out by hand for scripted upstreams; knows no handshake."""


def frame(content: bytes, opcode: int = 1, *, last: bool = True) -> bytes:
    """One frame (RFC 6455 §5.2), by default a whole message of text."""
    first = bytes([opcode | (0x80 if last else 0)])
    if len(content) < 126:
        return first + bytes([len(content)]) + content
    if len(content) < 65_536:
        return first + b"\x7e" + len(content).to_bytes(2) + content
    return first + b"\x7f" + len(content).to_bytes(8) + content
