"""The stages of an interpolation, each a function of the models and of what the one before gives."""
