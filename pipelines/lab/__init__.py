"""The synthetic world and the benchmarks. Nothing of the product imports it."""
