"""What a model costs, and what a run learned."""
