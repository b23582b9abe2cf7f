CREATE OR REPLACE TEMPORARY VIEW asked AS
WITH named AS (
  SELECT
    config_id,
    question_hash,
    MAX_BY(question_id, written_at) AS question_id,
    MAX(written_at) AS last_written
  FROM answers
  GROUP BY
    config_id,
    question_hash
), ranked AS (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY config_id, question_id
      ORDER BY last_written DESC, question_hash DESC
    ) AS rank,
    MAX(last_written) OVER (PARTITION BY config_id) AS config_written
  FROM named
), newest AS (
  SELECT
    MAX_BY(config_id, last_written) AS config_id
  FROM named
)
SELECT
  r.config_id,
  r.question_hash,
  r.question_id
FROM ranked AS r
JOIN newest AS n
  ON n.config_id = r.config_id
WHERE
  r.rank = 1;
