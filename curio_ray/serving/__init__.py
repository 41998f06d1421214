"""Model servers: vLLM engines behind Ray actors, their clients, and which replicas are there."""
