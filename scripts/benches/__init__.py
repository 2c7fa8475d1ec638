"""Benchmarks: one file each, one table each. Speed is told as a ratio to a peer in the same run, and never asserted by a test."""
