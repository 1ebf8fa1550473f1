"""The pipeline's stages, a file each: what is measured of a stretch of film, and which of them fall."""
