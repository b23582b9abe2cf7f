"""The synthetic dock world and the benchmarks. Only `jobs.lab` imports it."""
