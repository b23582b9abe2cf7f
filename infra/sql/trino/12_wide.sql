CREATE OR REPLACE VIEW wide AS
SELECT
  config_id,
  video_id,
  video_uri,
  clip_index,
  MAX("start_seconds") AS "start_seconds",
  MAX("end_seconds") AS "end_seconds",
  MAX("clip_started_at") AS "clip_started_at",
  MAX("clip_ended_at") AS "clip_ended_at",
  MAX("clip_local_date") AS "clip_local_date",
  MAX("clip_local_hour") AS "clip_local_hour",
  MAX("input_dock") AS "input_dock",
  MAX(CASE WHEN question_id = 'black_seen' THEN answer = 'yes' END) AS "black_seen",
  MAX(CASE WHEN question_id = 'black_when' THEN answer END) AS "black_when",
  MAX(CASE WHEN question_id = 'colour_at_2' THEN answer END) AS "colour_at_2",
  MAX(CASE WHEN question_id = 'first_colour' THEN answer END) AS "first_colour",
  MAX(CASE WHEN question_id = 'parcel_from_a' THEN answer END) AS "parcel_from_a",
  MAX(CASE WHEN question_id = 'parcel_from_c' THEN answer END) AS "parcel_from_c",
  MAX(CASE WHEN question_id = 'parcel_in_d' THEN answer = 'yes' END) AS "parcel_in_d",
  MAX(
    CASE
      WHEN question_id = 'parcel_moves'
      THEN COALESCE(answer_number, TRY_CAST(answer AS DOUBLE))
    END
  ) AS "parcel_moves"
FROM current
GROUP BY
  config_id,
  video_id,
  video_uri,
  clip_index;
