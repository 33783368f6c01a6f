"""File formats that several rooms share: readers that bound what they believe, and writers with one way to write.

Nothing here knows what a model, a release or an audit is. Heavy libraries are imported inside functions.
"""
