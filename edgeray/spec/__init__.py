"""What users write (YAML files, Ray DAGs) made into the types that everything else works with."""

from edgeray.spec.any_kind import load_on
from edgeray.spec.app import App, Cluster, Code, SourceOptions
from edgeray.spec.batch_job import BatchJob, is_batches, load_batches
from edgeray.spec.checks import check_job_on_cluster, check_runnable
from edgeray.spec.cluster_file import load_cluster
from edgeray.spec.editors import json_schema
from edgeray.spec.fog_job import FogJob, is_fog, load_fog
from edgeray.spec.job_file import load_app
from edgeray.spec.online_app import online_app
from edgeray.spec.online_jobs import OnlineJob, load_online, online_mode
from edgeray.spec.ray_dag import app_from_ray_dag
from edgeray.spec.split_training import SplitJob, is_split_training, load_split_training
from edgeray.spec.streams_app import streams_app
from edgeray.spec.streams_job import StreamsJob, is_streams, load_streams
from edgeray.spec.trace_file import TraceEvent, load_trace
from edgeray.spec.training_app import training_app
from edgeray.spec.write import cluster_text, job_text

__all__ = [
    "App",
    "BatchJob",
    "Cluster",
    "Code",
    "FogJob",
    "OnlineJob",
    "SourceOptions",
    "SplitJob",
    "StreamsJob",
    "TraceEvent",
    "app_from_ray_dag",
    "check_job_on_cluster",
    "check_runnable",
    "cluster_text",
    "is_batches",
    "is_fog",
    "is_split_training",
    "is_streams",
    "job_text",
    "json_schema",
    "load_app",
    "load_batches",
    "load_cluster",
    "load_fog",
    "load_on",
    "load_online",
    "load_split_training",
    "load_streams",
    "load_trace",
    "online_app",
    "online_mode",
    "streams_app",
    "training_app",
]
