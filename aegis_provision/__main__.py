"""``python -m aegis_provision``: the same program as the console script."""

from aegis_provision.entry import main

if __name__ == "__main__":
    main()
