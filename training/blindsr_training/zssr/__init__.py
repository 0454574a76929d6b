"""The training of the weights that ZSSR starts from (`training`)."""
