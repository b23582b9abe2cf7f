"""Films with damage that knows their containers.

A valid small film is taken apart, some of its parts are changed, and it is put together again. Each module is one
container and has `damaged(chance)`.
"""
