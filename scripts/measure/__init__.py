"""Measures the bundled model, the core and the batch; each file writes a table for a page in docs."""
