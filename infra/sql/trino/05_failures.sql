CREATE OR REPLACE VIEW failures AS
WITH answered AS (
  SELECT
    a.config_id,
    a.video_id,
    a.clip_index,
    a.question_hash,
    a.written_at
  FROM answers AS a
  WHERE
    EXISTS(
      SELECT
        1
      FROM failure_history AS f
      WHERE
        a.config_id = f.config_id AND a.video_id = f.video_id
    )
), latest AS (
  SELECT
    *
  FROM (
    SELECT
      *,
      ROW_NUMBER() OVER (
        PARTITION BY config_id, video_id, clip_index, question_hash
        ORDER BY attempts DESC, written_at DESC
      ) AS _w
    FROM failure_history
  ) AS _t
  WHERE
    1 = _w
)
SELECT
  f."video_uri",
  f."video_id",
  f."clip_index",
  f."start_seconds",
  f."end_seconds",
  f."clip_is_last",
  f."question_id",
  f."question_hash",
  f."stage",
  f."reason",
  f."message",
  f."attempts",
  f."decoder",
  f."bytes_read",
  f."config_id",
  f."run_id",
  f."written_at",
  f."input_dock"
FROM latest AS f
WHERE
  NOT EXISTS(
    SELECT
      *
    FROM answered AS a
    WHERE
      a.config_id = f.config_id
      AND a.video_id = f.video_id
      AND a.clip_index = f.clip_index
      AND a.question_hash = f.question_hash
  )
  AND NOT (
    f.question_hash IS NULL
    AND EXISTS(
      SELECT
        *
      FROM answered AS a
      WHERE
        a.config_id = f.config_id
        AND a.video_id = f.video_id
        AND a.clip_index >= COALESCE(f.clip_index, 0)
        AND a.written_at > f.written_at
    )
  );
