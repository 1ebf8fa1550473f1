"""What fills the frames between two keyframes, to be compared."""
