"""New policy weights from the learner to the policy's servers."""
