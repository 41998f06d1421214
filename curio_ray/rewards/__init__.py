"""Rewards and credit: pure functions of beliefs, words and values."""
