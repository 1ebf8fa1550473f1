"""What comes in from files and goes out to them: checkpoints, tokens, pictures, videos."""
