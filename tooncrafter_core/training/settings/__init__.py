"""What a training is told, and how that is checked."""
