"""The gate inside vLLM: one request answers, exits or thinks, in vLLM's own running batch. Needs `framegate[vllm]`."""
