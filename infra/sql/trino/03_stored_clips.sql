CREATE OR REPLACE VIEW stored_clips AS
SELECT * FROM framegate_clips;
