CREATE OR REPLACE TEMPORARY VIEW answers AS
SELECT * FROM parquet.`s3://index/cameras/results`;
