"""Passes: functions from a Keras model to a Keras model that computes the same."""
