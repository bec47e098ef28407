"""The validation kit: one file that an outside centre runs on data that never leave it."""
