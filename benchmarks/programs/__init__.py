"""What runs in a process of its own beside a benchmark: peers of our making, upstreams and loads; each knows only its standard library and its own job."""
