CREATE OR REPLACE VIEW clips AS
SELECT
  "video_uri",
  "video_id",
  "clip_index",
  "start_seconds",
  "end_seconds",
  "clip_is_last",
  "clip_started_at",
  "clip_ended_at",
  "clip_policy",
  "thumbnail",
  "motion",
  "darkness",
  "embedding",
  "num_steps",
  "num_steps_reused",
  "config_id",
  "run_id",
  "written_at",
  "input_dock",
  CAST(CAST(AT_TIMEZONE(clip_started_at, 'UTC') AS TIMESTAMP) AS DATE) AS clip_local_date,
  CAST(HOUR(CAST(AT_TIMEZONE(clip_started_at, 'UTC') AS TIMESTAMP)) AS INTEGER) AS clip_local_hour
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY video_id, clip_policy, clip_index
      ORDER BY CASE WHEN embedding IS NULL THEN 1 ELSE 0 END, written_at DESC
    ) AS rank
  FROM stored_clips
) AS ranked
WHERE
  rank = 1;
