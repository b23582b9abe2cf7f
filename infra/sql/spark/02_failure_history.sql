CREATE OR REPLACE TEMPORARY VIEW failure_history AS
SELECT * FROM parquet.`s3://index/cameras/failures`;
