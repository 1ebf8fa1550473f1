"""Networks that losses are made of."""
