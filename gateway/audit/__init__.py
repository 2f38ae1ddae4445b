"""What happened, line by line and chained; knows nothing of who may do what."""
