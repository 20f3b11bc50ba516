"""The loop, the step, optimizers and schedules, run directories."""
