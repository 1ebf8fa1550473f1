"""Where results go: who is writing there, and what may be replaced."""
