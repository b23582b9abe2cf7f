"""Certificates of an output: its audit sample is read, claims are made of it, and people are asked for labels."""
