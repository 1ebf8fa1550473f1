"""The small model's data set, built from packages of public registries and drawn here."""
