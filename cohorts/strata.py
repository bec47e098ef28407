"""What results are reported for, by one name in every table and figure."""

DEVELOPMENT = "development (out-of-fold)"
"""The development patients, each scored by a model that has not seen them."""

POOLED = "external, pooled"
"""All external patients together; each external centre is reported by its own name."""

ALL_CLASSES = "all classes"
"""All classes of a label together; each is reported by its own name."""
