"""The loop, the step, optimisers and schedules, run directories."""
