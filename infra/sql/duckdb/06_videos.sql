CREATE OR REPLACE VIEW videos AS
SELECT
  v."video_uri",
  v."video_id",
  v."video_version",
  v."size_bytes",
  v."state",
  v."first_seen",
  v."since",
  v."source",
  v."last_seen",
  v."started_at",
  v."duration_seconds",
  v."container",
  v."codec",
  v."fps",
  v."height",
  v."width",
  v."rotation",
  v."created_at",
  v."input_dock",
  v.size_bytes AS video_size_bytes,
  v.state = 'gone' AS is_gone,
  CASE WHEN v.state = 'gone' THEN v.since END AS gone_since,
  COALESCE(a.num_rows, 0) AS num_answers,
  COALESCE(f.num_rows, 0) AS num_failures
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY video_id ORDER BY file_name DESC) AS rank
  FROM video_log
) AS v
LEFT JOIN (
  SELECT
    video_id,
    COUNT(*) AS num_rows
  FROM answers
  GROUP BY
    video_id
) AS a
  ON a.video_id = v.video_id
LEFT JOIN (
  SELECT
    video_id,
    COUNT(*) AS num_rows
  FROM failures
  GROUP BY
    video_id
) AS f
  ON f.video_id = v.video_id
WHERE
  v.rank = 1;
