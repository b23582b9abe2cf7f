CREATE OR REPLACE VIEW video_log AS
SELECT *, parse_filename(filename) AS file_name
FROM read_parquet('s3://index/cameras/videos/*.parquet', union_by_name = true, filename = true);
