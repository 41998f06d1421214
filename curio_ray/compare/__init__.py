"""`curio compare`: rewards times seeds as one Ray Tune experiment, its table, plots and report."""
