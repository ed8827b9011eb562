"""Floor 1: pure array functions. No classes of the library above, no state."""
