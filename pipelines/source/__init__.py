"""Which videos there are: prefixes, globs, lists, manifests and tar shards."""
