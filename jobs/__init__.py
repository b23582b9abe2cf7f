"""The `framegate` commands, one file each. A command parses its options, calls a room of `pipelines` and prints.

All of these files are imported before the first option is read, so none may import what takes long at its top: what a
command needs of `pipelines` and of the configuration it imports when it is called. A test holds this.
"""
