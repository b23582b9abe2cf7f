CREATE OR REPLACE TEMPORARY VIEW questions AS
WITH wordings AS (
  SELECT
    config_id,
    question_hash,
    MAX_BY(question_id, written_at) AS written_id,
    MAX_BY(question, written_at) AS question,
    MAX_BY(answer_type, written_at) AS answer_type,
    MAX_BY(question_options, written_at) FILTER(WHERE
      NOT question_options IS NULL) AS question_options,
    MIN(COALESCE(question_since, written_at)) AS first_asked,
    MAX(written_at) AS last_answered,
    COUNT(*) AS num_answers,
    COUNT(*) FILTER(WHERE
      status <> 'answered') AS num_unanswered,
    AVG(CAST(thinking AS INT)) AS think_rate
  FROM answers
  GROUP BY
    config_id,
    question_hash
)
SELECT
  w.config_id,
  COALESCE(c.question_id, w.written_id) AS question_id,
  w.question_hash,
  w.question,
  w.answer_type,
  w.question_options,
  NOT c.question_id IS NULL AS is_current,
  w.first_asked,
  w.last_answered,
  w.num_answers,
  w.num_unanswered,
  w.think_rate
FROM wordings AS w
LEFT JOIN asked AS c
  ON c.config_id = w.config_id AND c.question_hash = w.question_hash;
