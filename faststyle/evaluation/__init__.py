"""Compare fast with slow: measurements and the report."""
