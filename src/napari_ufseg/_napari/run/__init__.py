"""A training run and its picture in the layers."""
