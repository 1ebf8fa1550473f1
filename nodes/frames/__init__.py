"""Nodes for finished frames, and some of them for latents."""
