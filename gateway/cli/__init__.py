"""The commands an operator types, one file each; the list of them is in `main.py`. Knows nothing of how the work is done."""
