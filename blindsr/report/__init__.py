"""Result files to comparison tables: summarised, laid out, and written in a format; also what a run shows of its progress."""
