CREATE OR REPLACE VIEW answers_at AS
WITH weighed AS (
  SELECT
    *,
    CASE
      WHEN (
        NOT confidence_first IS NULL
        AND (
          gate_reason IN ('confident', 'unsure', 'deferred', 'audit', 'asked')
          OR strategy = 'always_think'
          AND gate_reason = 'always'
          OR strategy = 'direct'
          AND gate_reason = 'never'
        )
      )
      THEN confidence_first < 0.97
      WHEN gate_reason = 'deferred'
      THEN TRUE
      ELSE thinking
    END AS would_think
  FROM current
), told AS (
  SELECT
    *,
    CASE
      WHEN gate_reason = 'audit' AND would_think
      THEN COALESCE(answer_second_value, answer)
      WHEN gate_reason = 'audit' OR would_think = thinking
      THEN answer
      WHEN thinking
      THEN answer_first_value
    END AS answer_then
  FROM weighed
)
SELECT
  config_id,
  video_id,
  video_uri,
  clip_index,
  start_seconds,
  end_seconds,
  clip_started_at,
  clip_ended_at,
  question_id,
  question_hash,
  answer_type,
  answer_then AS answer,
  answer AS stored_answer,
  would_think = thinking
  OR thinking
  AND (
    NOT answer_first_value IS NULL OR NOT question_since IS NULL
  ) AS is_known,
  would_think,
  thinking,
  confidence_first,
  CASE WHEN NOT would_think THEN 0 WHEN thinking THEN num_thinking_tokens END AS num_thinking_tokens,
  answer_key
FROM told;
