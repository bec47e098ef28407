"""The cohort: who was studied, where, with which images, labels and endpoints."""
