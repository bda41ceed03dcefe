"""``python -m qserv.cli``: the same as ``qserv``."""

from qserv.cli import main

main()
