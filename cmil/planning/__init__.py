"""How many patients a study needs; every answer names its method and assumptions."""
