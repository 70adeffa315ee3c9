# The MLflow server of deploy/compose.yaml, with Postgres' and S3's clients.
# docker build -f docker/mlflow.Dockerfile -t nightrank-mlflow:0.1.0 dist
FROM python:3.11.14-slim-bookworm

COPY requirements-mlflow.lock /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements-mlflow.lock && rm /tmp/requirements-mlflow.lock

RUN useradd --uid 10001 --create-home mlflow
USER 10001
WORKDIR /home/mlflow
CMD ["mlflow", "server", "--help"]
