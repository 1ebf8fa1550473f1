"""The trainings themselves: what trains and its loss."""
