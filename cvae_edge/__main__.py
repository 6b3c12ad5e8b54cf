"""``python -m cvae_edge`` is ``cvae-edge``."""

from cvae_edge.cli import main

main()
