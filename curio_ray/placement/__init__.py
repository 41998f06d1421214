"""Where the actors of a run lie on Ray's nodes, and waiting for those nodes."""
