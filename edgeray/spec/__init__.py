"""What users write (YAML files, Ray DAGs) made into the types that everything else works with."""

from edgeray.spec.app import App, Cluster, Code, SourceOptions
from edgeray.spec.checks import check_job_on_cluster, check_runnable
from edgeray.spec.cluster_file import load_cluster
from edgeray.spec.job_file import load_app
from edgeray.spec.ray_dag import app_from_ray_dag
from edgeray.spec.schema import json_schema
from edgeray.spec.trace_file import TraceEvent, load_trace
from edgeray.spec.write import cluster_text, job_text

__all__ = [
    "App",
    "Cluster",
    "Code",
    "SourceOptions",
    "TraceEvent",
    "app_from_ray_dag",
    "check_job_on_cluster",
    "check_runnable",
    "cluster_text",
    "job_text",
    "json_schema",
    "load_app",
    "load_cluster",
    "load_trace",
]
