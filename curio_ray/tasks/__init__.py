"""Tasks: who the users are, what each role is told, when a dialogue ends, who won."""
