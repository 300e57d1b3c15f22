"""Inference: the devices of this machine, a graph opened on one of them, and the two towers of a model folder."""
