"""Floor 2: what users hand to fit, evaluate and predict, made into batches."""
