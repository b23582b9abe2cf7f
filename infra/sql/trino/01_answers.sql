CREATE OR REPLACE VIEW answers AS
SELECT * FROM framegate_results;
