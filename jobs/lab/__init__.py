"""Commands around the product: demo, benchmarks, training and evaluation on synthetic clips."""
