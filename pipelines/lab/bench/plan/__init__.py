"""`bench plan`: planning an archive of which all, or nearly all, is done."""
