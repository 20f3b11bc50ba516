"""The networks: pure linen, a file a paper."""
