"""Running a plan: what a step does, the executors, the scheduler."""
