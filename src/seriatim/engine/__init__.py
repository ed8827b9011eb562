"""Floor 3: the plan of a training run, its step, and the compiled programs."""
