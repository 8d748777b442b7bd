"""``python -m era_ap`` is the command line."""

from era_ap.cli import main

main(prog_name="era-ap")
