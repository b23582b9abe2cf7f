"""The engine on vLLM: each ask is one request in vLLM's own running batch. Needs `framegate[vllm]`."""
