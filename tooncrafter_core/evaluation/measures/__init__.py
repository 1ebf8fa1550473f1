"""What drawn frames are compared with true ones by."""
