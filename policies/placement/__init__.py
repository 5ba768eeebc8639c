"""Where each task of a job runs: one module a policy."""
