"""The sandbox: a decoder in a confined process that can be killed, and that gets bytes by range and never a path."""
