"""`python -m framegate`: the `framegate` command."""

from framegate.jobs.cli import main

main()
