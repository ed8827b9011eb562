"""Other words for the same chain: what other programs read. Floor 4."""
