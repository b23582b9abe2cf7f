CREATE OR REPLACE TEMPORARY VIEW video_log AS
SELECT *, _metadata.file_name AS file_name FROM parquet.`s3://index/cameras/videos`;
