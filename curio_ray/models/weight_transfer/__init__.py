"""New policy weights from the learner to the policy's servers, by vLLM's weight-transfer API."""
