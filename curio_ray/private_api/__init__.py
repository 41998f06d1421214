"""Names of other libraries that are not theirs to promise: a file for each library.

Each file says from which version the names were read. No other file of the package uses such names.
"""
