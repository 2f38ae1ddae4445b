"""What Doorward measures of itself: the table of names, figures under them, and their text; knows no part that counts."""
