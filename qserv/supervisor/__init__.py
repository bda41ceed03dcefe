"""Starts every process of an embedded cluster, restarts one that dies, stops them in order."""
