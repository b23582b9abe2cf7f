CREATE OR REPLACE VIEW answers AS
SELECT * FROM read_parquet('s3://index/cameras/results/**/*.parquet', hive_partitioning = true, union_by_name = true);
