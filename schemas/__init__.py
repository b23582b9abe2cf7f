"""What flows between the stages: dataclasses, Arrow tables, the run configuration, errors."""
