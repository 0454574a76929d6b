"""The training of the network of `corrected` (`training`), and what it learns from (`examples`)."""
