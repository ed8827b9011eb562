"""Floor 4: the loop over epochs and chunks, and everything that watches it."""
