"""Exercise Recommendation: the rule, the words, the users, the task."""
