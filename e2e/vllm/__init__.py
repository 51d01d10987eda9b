"""vLLM itself, on CPU, beside llama-server: `make e2e-vllm`."""
