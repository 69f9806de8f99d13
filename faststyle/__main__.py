"""Run the ``faststyle`` command as ``python -m faststyle``."""

from faststyle.cli.main import main

main()
