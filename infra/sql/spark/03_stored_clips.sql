CREATE OR REPLACE TEMPORARY VIEW stored_clips AS
SELECT * FROM parquet.`s3://index/cameras/clips`;
