CREATE OR REPLACE TEMPORARY VIEW current AS
SELECT
  a.`video_uri`,
  a.`video_id`,
  a.`video_version`,
  a.`clip_index`,
  a.`start_seconds`,
  a.`end_seconds`,
  a.`clip_is_last`,
  a.`num_frames`,
  a.`clip_is_truncated`,
  a.`clip_is_letterboxed`,
  a.`decode_seconds`,
  a.`bytes_read`,
  a.`frame_height`,
  a.`frame_width`,
  a.`clip_fps`,
  a.`clip_started_at`,
  a.`clip_ended_at`,
  CAST(FROM_UTC_TIMESTAMP(a.clip_started_at, 'UTC') AS DATE) AS clip_local_date,
  CAST(HOUR(FROM_UTC_TIMESTAMP(a.clip_started_at, 'UTC')) AS INT) AS clip_local_hour,
  q.question_id,
  a.`question_hash`,
  a.`question`,
  a.`answer_type`,
  a.`question_options`,
  a.`question_since`,
  a.`answer`,
  a.`answer_letter`,
  a.`answer_number`,
  a.`answer_bool`,
  a.`answer_first_value`,
  a.`answer_second_value`,
  a.`answer_first`,
  a.`answer_second`,
  a.`confidence_first`,
  a.`confidence_second`,
  CASE
    WHEN thinking
    THEN COALESCE(confidence_second, confidence_first)
    ELSE confidence_first
  END AS confidence,
  a.`thinking`,
  a.`gate_reason`,
  a.`thinking_text`,
  a.`span_start_seconds`,
  a.`span_end_seconds`,
  a.`num_prompt_tokens`,
  a.`num_video_tokens`,
  a.`num_answer_tokens`,
  a.`num_thinking_tokens`,
  a.`finish_reason`,
  a.`status`,
  a.`engine_seconds`,
  a.`prompt_seconds`,
  a.`first_answer_seconds`,
  a.`thinking_seconds`,
  a.`threshold`,
  a.`audit_rank`,
  a.`audit_rate`,
  a.`model`,
  a.`strategy`,
  a.`engine`,
  a.`decoder`,
  a.`config_id`,
  a.`run_id`,
  a.`written_at`,
  CASE WHEN NOT v.`input_dock` IS NULL THEN v.`input_dock` ELSE a.`input_dock` END AS `input_dock`,
  CONCAT(
    COALESCE(a.video_id, ''),
    '/',
    COALESCE(CAST(clip_index AS STRING), ''),
    '/',
    COALESCE(a.question_hash, '')
  ) AS answer_key
FROM answers AS a
JOIN asked AS q
  ON q.config_id = a.config_id AND q.question_hash = a.question_hash
LEFT JOIN videos AS v
  ON v.video_id = a.video_id
WHERE
  NOT COALESCE(v.state, 'current') IN ('superseded', 'gone');
