"""Floor 0: plain Python and NumPy. What a thing is called, what it was given, what went wrong."""
