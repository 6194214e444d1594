"""Metrics over tables; a metric cannot see a model."""
