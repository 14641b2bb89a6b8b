"""Imported once by the server that a sweep's jobs are forked from: all that jobs need and that takes seconds to import."""

import metacl_run.experiment
import metacl_run.sweeps.process  # noqa: F401
