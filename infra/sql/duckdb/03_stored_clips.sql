CREATE OR REPLACE VIEW stored_clips AS
SELECT * FROM read_parquet('s3://index/cameras/clips/**/*.parquet', hive_partitioning = true, union_by_name = true);
