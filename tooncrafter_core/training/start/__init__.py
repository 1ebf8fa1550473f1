"""What a training starts from where no trained weights exist."""
