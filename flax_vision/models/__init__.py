"""The models in pure linen: one file per paper."""
