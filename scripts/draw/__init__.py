"""Draws the pictures of README, docs, help pages and templates."""
