"""Graphs of Kijai's DynamiCrafter nodes as graphs of these ones; Python's standard library only."""
