"""Line drawings of pictures, and which frames of a clip they guide."""
