"""Explanations that are checked: which patches a score came from, and whether that is true.

A map gives each of a patient's instances one number. `attribution` makes one for every model;
`faithfulness`, `agreement`, `patch_truth` and `enrichment` ask what a map is worth, with patients
as the unit.
"""
