"""A report on a trained model: which clips, what is measured on them, and how it is written down."""
