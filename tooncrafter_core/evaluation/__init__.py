"""What in-betweens are measured by."""
