"""Engines: what runs a model behind the one protocol of `protocol.py`."""
