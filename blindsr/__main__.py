"""``python -m blindsr``."""

from blindsr.cli import main

if __name__ == "__main__":
    main()
