"""The commands an operator types, one file each and listed in `main.py`; knows nothing of how the work is done."""
