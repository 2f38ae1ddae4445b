"""What Doorward costs, measured: one file for each question; knows nothing of passing and failing."""
