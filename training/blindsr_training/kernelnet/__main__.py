"""The command ``python -m blindsr_training.kernelnet``."""

from blindsr_training.kernelnet.training import main

main()
