"""Bytes and connections: heads, framing, protocols and the pool; knows nothing of identity, policy or secrets."""
