CREATE OR REPLACE VIEW video_log AS
SELECT *, regexp_extract("$path", '[^/]+$') AS file_name FROM framegate_videos;
