"""What several studies use: the run folder, reading and sampling, the narrator, sections of reports."""
