"""One run: the iteration, the loop around it, and the RLlib shell."""
