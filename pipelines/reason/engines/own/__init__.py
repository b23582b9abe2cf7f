"""The default engine: continuous batching over a transformers model."""
