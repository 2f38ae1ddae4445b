"""With whose secret: the only place where a secret can be read; knows nothing of who may use it."""
