"""What must not change between development and validation, and a record of every opening."""
