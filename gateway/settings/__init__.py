"""From a YAML file to checked settings, with a place for every mistake; knows nothing of requests."""
