"""``python -m goose``: the ``goose`` command, for where the script is not on the path."""

from goose.commands import main

if __name__ == "__main__":
    main()
