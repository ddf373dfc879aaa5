"""``python -m rnnprof``: the same as the command ``rnnprof``."""

from rnnprof.cli.main import main

if __name__ == "__main__":
    main()
