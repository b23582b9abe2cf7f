"""`bench query`: the SQL views against plain DuckDB on the same files, and the requests of a query on S3."""
