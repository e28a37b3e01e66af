"""Training: recipe, loop, checkpoints, objective, validation."""
