"""What a run has written, and by what it knows that it need not be done again."""
