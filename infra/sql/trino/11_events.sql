CREATE OR REPLACE VIEW events AS
WITH said AS (
  SELECT
    config_id,
    video_id,
    video_uri,
    question_id,
    question_hash,
    answer_type,
    clip_index,
    answer_number,
    confidence,
    "input_dock",
    CASE WHEN answer_type = 'span' THEN 'span' ELSE answer END AS answer,
    CASE WHEN answer_type = 'span' THEN span_start_seconds ELSE start_seconds END AS start_seconds,
    CASE WHEN answer_type = 'span' THEN span_end_seconds ELSE end_seconds END AS end_seconds,
    CASE
      WHEN answer_type = 'span'
      THEN (
        clip_started_at + INTERVAL '1' SECOND * (
          span_start_seconds - start_seconds
        )
      )
      ELSE clip_started_at
    END AS started_at,
    CASE
      WHEN answer_type = 'span'
      THEN (
        clip_started_at + INTERVAL '1' SECOND * (
          span_end_seconds - start_seconds
        )
      )
      ELSE clip_ended_at
    END AS ended_at
  FROM current
  WHERE
    status = 'answered' AND NOT answer IS NULL
), marked AS (
  SELECT
    *,
    CASE
      WHEN start_seconds <= (
        0 + 0.001
      ) + MAX(end_seconds) OVER (
        PARTITION BY config_id, video_id, video_uri, question_id, question_hash, answer_type, answer
        ORDER BY start_seconds, end_seconds, clip_index
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      )
      THEN 0
      ELSE 1
    END AS begins
  FROM said
), numbered AS (
  SELECT
    *,
    SUM(begins) OVER (
      PARTITION BY config_id, video_id, video_uri, question_id, question_hash, answer_type, answer
      ORDER BY start_seconds, end_seconds, clip_index
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS event_number
  FROM marked
), merged AS (
  SELECT
    config_id,
    video_id,
    video_uri,
    question_id,
    question_hash,
    answer_type,
    answer,
    MAX(answer_number) AS answer_number,
    MIN(start_seconds) AS start_seconds,
    MAX(end_seconds) AS end_seconds,
    MIN(started_at) AS started_at,
    MAX(ended_at) AS ended_at,
    COUNT(*) AS num_clips,
    MIN(clip_index) AS first_clip_index,
    MAX(clip_index) AS last_clip_index,
    MIN(confidence) AS min_confidence,
    AVG(confidence) AS mean_confidence,
    MAX("input_dock") AS "input_dock"
  FROM numbered
  GROUP BY
    config_id,
    video_id,
    video_uri,
    question_id,
    question_hash,
    answer_type,
    answer,
    event_number
)
SELECT
  config_id,
  video_id,
  video_uri,
  question_id,
  question_hash,
  answer_type,
  answer,
  answer_number,
  start_seconds,
  end_seconds,
  end_seconds - start_seconds AS duration_seconds,
  started_at,
  ended_at,
  CAST(CAST(AT_TIMEZONE(started_at, 'UTC') AS TIMESTAMP) AS DATE) AS local_date,
  CAST(HOUR(CAST(AT_TIMEZONE(started_at, 'UTC') AS TIMESTAMP)) AS INTEGER) AS local_hour,
  num_clips,
  first_clip_index,
  last_clip_index,
  min_confidence,
  mean_confidence,
  "input_dock"
FROM merged;
