"""What a person types: a file for each command. `main.py` joins them."""
