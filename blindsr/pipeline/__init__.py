"""From YAML to a plan: the schema and its loader, data sets, and the steps that a run consists of."""
