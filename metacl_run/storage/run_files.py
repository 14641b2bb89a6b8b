"""The names of all files in a run directory."""

from __future__ import annotations

CONFIG = "config.yaml"
"""The resolved config."""
METRICS = "metrics.jsonl"
"""One record a line."""
METRICS_CSV = "metrics.csv"
"""With logger=csv: the same, one number a line."""
MATRIX, TRANSDUCTIVE_MATRIX = "accuracy_matrix.npy", "accuracy_matrix_transductive.npy"
"""float64 [replicates, tasks + 1, tasks], NaN where not reached; the second with all queries of an episode together."""
SUMMARY = "summary.json"
"""Written when the run ends, with any status."""
CHECKPOINT, PREVIOUS_CHECKPOINT = "checkpoint.pt", "checkpoint.previous.pt"
LOG = "run.log"
LOCK = ".lock"
REPORT = "report.html"
FIGURES = "figures"
"""The folder of the figures."""
MLFLOW_ARTIFACTS = "mlflow-artifacts"
"""The folder in output_dir where MLflow keeps copies of runs' files."""
SCHEMA = 1
"""Version of summary.json; a reader refuses one it does not know."""
