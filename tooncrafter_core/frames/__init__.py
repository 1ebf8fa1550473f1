"""What is done to finished frames: timing, colours, sheets."""
