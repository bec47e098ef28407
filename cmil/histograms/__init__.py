"""The cMIL family: a bag described by how its instances are distributed, then any classifier.

`fitting.fit_histogram_model` fits one, `histogram_model.HistogramModel` scores with it.
"""
