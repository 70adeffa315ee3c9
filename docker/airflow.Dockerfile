# Airflow in an environment of its own, beside the trainer's, which it starts every command in.
# docker build -f docker/airflow.Dockerfile -t nightrank-airflow:0.1.0 dist
ARG BASE=nightrank-trainer:0.1.0
# hadolint ignore=DL3006
FROM ${BASE}

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
USER 0
COPY requirements-airflow.lock nightrank-*.whl /tmp/dist/
RUN python3.11 -m venv /opt/airflow \
  && /opt/airflow/bin/pip install --no-cache-dir --require-hashes -r /tmp/dist/requirements-airflow.lock \
  && /opt/airflow/bin/pip install --no-cache-dir --no-deps /tmp/dist/nightrank-*.whl \
  && rm -r /tmp/dist \
  && install --directory --owner 10001 /opt/airflow/home

ENV PATH=/opt/airflow/bin:$PATH AIRFLOW_HOME=/opt/airflow/home
USER 10001
CMD ["airflow", "version"]
