CREATE OR REPLACE VIEW failure_history AS
SELECT * FROM framegate_failures;
