"""Evaluating: what a model is asked, how answers are judged, and scores that anyone gets again to the last digit."""
