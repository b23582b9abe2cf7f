CREATE OR REPLACE VIEW failure_history AS
SELECT * FROM read_parquet('s3://index/cameras/failures/**/*.parquet', hive_partitioning = true, union_by_name = true);
