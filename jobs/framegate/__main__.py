"""`python -m framegate` is the `framegate` command."""

from framegate.jobs.cli import main

if __name__ == "__main__":
    main()
